// `elm tune rso`: statistical rejection sampling.

import { printable } from "../../model/index.ts"
import { type RsoSettings, rsoFields } from "../../train/rso/fields.ts"
import { checkRsoSettings, rejectionTune } from "../../train/rso/index.ts"
import { usualOf } from "../../train/run/field_list.ts"
import { inFile } from "../../train/spelling.ts"
import { dpo } from "../../train/tune/dpo.ts"
import { asUsage } from "../line/arguments.ts"
import { command } from "../line/command.ts"
import { flagsOf, givenOf, readConfig, refuseIdle } from "../line/fields.ts"
import { overRanks, type RunOfRank } from "../line/over_ranks.ts"
import { processFlags } from "../line/ranks.ts"
import { configFlag, performTuning, tuneConfigs, where } from "../line/tune.ts"
import { whileRunning } from "../terminal/ending.ts"
import { reporter } from "../terminal/progress.ts"

const processes = processFlags("share prompts and updates", "with what is there")

const usual = (field: string): unknown => usualOf(rsoFields, field) || undefined

export const rso = command({
  name: "rso",
  description: "tune a model on its own answers, by statistical rejection sampling",
  flags: { ...configFlag, ...flagsOf(rsoFields, usual), ...where, ...processes },
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
    const settings = () =>
      asUsage(() =>
        refuseIdle(rsoFields, checkRsoSettings({ ...base, ...given }, from, inFile), given),
      )
    const standing = async ({ out }: RsoSettings) =>
      `The same command goes on with what is in ${out}`
    await overRanks(flags, { settings, sharedOut: (own) => own, standing }, rejectionTuneAs)
  },
})

/** Stages and tuning, or a process's part of them; the first says what is to be said. */
async function rejectionTuneAs({ settings, backend, ranks }: RunOfRank<RsoSettings>) {
  const isFirst = ranks.rank === 0
  const report = reporter()
  const interrupt = new AbortController()
  const running = whileRunning(() => {
    report.done()
    if (isFirst) console.error("Ending after this record; Ctrl-C once more ends at once")
    interrupt.abort()
  })
  const say = (text: string): void => {
    report.done()
    if (isFirst) console.log(printable(text))
  }
  try {
    const result = await rejectionTune(settings, {
      ...{ backend, ranks, signal: interrupt.signal, onProgress: report, onStage: say },
      onSkip: (message) => say(`skipped: ${message}`),
      perform: (settings, resume) => performTuning(dpo, { settings, backend, ranks, resume }),
    })
    if (!result) say(`Stopped. The same command goes on with what is in ${settings.out}`)
  } finally {
    report.done()
    running()
  }
}
