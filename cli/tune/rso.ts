// `elm tune rso`: statistical rejection sampling.

import { printable } from "../../model/index.ts"
import { rsoFields } from "../../train/rso/fields.ts"
import { checkRsoSettings, rejectionTune } from "../../train/rso/index.ts"
import { usualOf } from "../../train/run/field_list.ts"
import { inFile } from "../../train/spelling.ts"
import { dpo } from "../../train/tune/dpo.ts"
import { asUsage } from "../line/arguments.ts"
import { command } from "../line/command.ts"
import { flagsOf, givenOf, readConfig, refuseIdle } from "../line/fields.ts"
import { openFor } from "../line/open.ts"
import { configFlag, performTuning, placed, tuneConfigs, where } from "../line/tune.ts"
import { whileRunning } from "../terminal/ending.ts"
import { reporter } from "../terminal/progress.ts"

const usual = (field: string): unknown => usualOf(rsoFields, field) || undefined

export const rso = command({
  name: "rso",
  description: "tune a model on its own answers, by statistical rejection sampling",
  flags: { ...configFlag, ...flagsOf(rsoFields, usual), ...where },
  after:
    "Its files candidates.jsonl, rewards.jsonl, accepted.jsonl and pairs.jsonl are kept; the same command goes on\n" +
    "where it was ended.\n\nExamples:\n" +
    "  elm tune rso --model my-model --data prompts.jsonl --ranker my-ranker --out my-rso\n" +
    '  elm tune rso --model my-model --data prompts.jsonl --scorer "node score.js" --pairs tournament',
  async run(flags) {
    const given = givenOf(rsoFields, flags)
    const { config } = flags as { readonly config?: string }
    const [from, base] =
      config === undefined ? ["settings", {}] : await readConfig(rsoFields, tuneConfigs, config)
    const settings = await asUsage(() =>
      refuseIdle(rsoFields, checkRsoSettings({ ...base, ...given }, from, inFile), given),
    )
    await using backend = await openFor(placed(flags, settings))
    const report = reporter()
    const interrupt = new AbortController()
    const running = whileRunning(() => {
      report.done()
      console.error("Ending after this record; Ctrl-C once more ends at once")
      interrupt.abort()
    })
    const say = (text: string): void => {
      report.done()
      console.log(printable(text))
    }
    try {
      const result = await rejectionTune(settings, {
        ...{ backend, signal: interrupt.signal, onProgress: report, onStage: say },
        onSkip: (message) => say(`skipped: ${message}`),
        perform: (own, resume) => performTuning(dpo, own, backend, resume),
      })
      if (!result) say(`Stopped. The same command goes on with what is in ${settings.out}`)
    } finally {
      report.done()
      running()
    }
  },
})
