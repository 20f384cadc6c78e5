// Rewards of sampled answers: the logit of a ranker's probability that each is better than one sampled answer
// of the policy, or what an application or a command says.
import type { Backend } from "../../engine/index.ts"
import { fromNode } from "../../engine/node.ts"
import { type ChatMessage, internals } from "../../model/index.ts"
import { isObject, show } from "../../model/json.ts"
import { ReferenceScorer } from "../preference/reference.ts"
import { checkpointOf, readRunState } from "../run/checkpoint.ts"
import { trainedOf } from "../step/trained.ts"
import { openTuned } from "../tune/open.ts"
import { asked } from "../tune/ranker.ts"
import { reward } from "../tune/reward.ts"
import { logProbsOf } from "../tune/rows.ts"
import { kindOf } from "../tune/tuning.ts"

/** Answers to one prompt, and one more that they are compared with. */
export interface ScoreRequest {
  readonly prompt: readonly ChatMessage[]
  readonly candidates: readonly string[]
  readonly baseline: string
}

/** A reward for each candidate. */
export type AnswerScorer = (request: ScoreRequest) => Promise<readonly number[]>

export interface OpenScore {
  readonly score: AnswerScorer
  close(): Promise<void>
}

/** The ranker of a run of `elm tune reward`, each pair asked in either order. Rows that are computed at a time. */
export async function openRanker(path: string, backend: Backend, rows = 8): Promise<OpenScore> {
  const checkpoint = await checkpointOf(path)
  const { settings } = await readRunState(checkpoint, kindOf(reward))
  const { model, adapter, tokenizer } = await openTuned(settings, { backend }, checkpoint)
  const scorer = new ReferenceScorer(model, trainedOf(model, adapter).decoder)
  const most = Math.min(settings.sequenceLength, model.config.maxContext) + 1
  return {
    async score({ prompt, candidates, baseline }) {
      const texts = candidates.flatMap((candidate) => {
        const first = asked({ prompt, a: candidate, b: baseline }, tokenizer, most)
        const second = asked({ prompt, a: baseline, b: candidate }, tokenizer, most)
        return [first.a, first.b, second.b, second.a]
      })
      const found = await internals(model).reading(() => logProbsOf(scorer, model, texts, rows))
      const at = (i: number): number => found[i] as number
      return candidates.map((_, i) => {
        const [better, worse] = [at(4 * i) + at(4 * i + 2), at(4 * i + 1) + at(4 * i + 3)]
        return (better - worse) / 2
      })
    },
    async close() {
      scorer.close()
      await model.close()
    },
  }
}

/** A command that reads a line of JSON for each prompt, `{ prompt, candidates, baseline }`, and writes one of
 *  `{ "rewards": [...] }`, or the list alone. Throws Error where it ends early, SyntaxError for another line. */
export function openCommand(command: string): OpenScore {
  const child = fromNode("node:child_process").spawn(command, {
    shell: true,
    stdio: ["pipe", "pipe", "inherit"],
  })
  let rest = ""
  const waiting: { resolve(line: string): void; reject(error: Error): void }[] = []
  const lines: string[] = []
  let ended: Error | undefined
  const hand = (): void => {
    while (waiting.length > 0 && lines.length > 0) waiting.shift()?.resolve(lines.shift() as string)
    if (ended) for (const each of waiting.splice(0)) each.reject(ended)
  }
  child.stdout.setEncoding("utf8").on("data", (data: string) => {
    const all = (rest + data).split("\n")
    rest = all.pop() as string
    lines.push(...all)
    hand()
  })
  // It may be gone before it has read everything: what it wrote says so.
  child.stdin.on("error", () => {})
  child.on("close", (code) => {
    ended = new Error(`the scorer ${show(command)} ended with code ${code} before it had answered`)
    hand()
  })
  return {
    async score(request) {
      child.stdin.write(`${JSON.stringify(request)}\n`)
      const line = await new Promise<string>((resolve, reject) => {
        waiting.push({ resolve, reject })
        hand()
      })
      return rewardsIn(line, `the scorer ${show(command)}`)
    },
    async close() {
      child.stdin.end()
      if (child.exitCode === null && !ended) {
        await new Promise<void>((resolve) => child.once("close", () => resolve()))
      }
    },
  }
}

function rewardsIn(line: string, who: string): readonly number[] {
  try {
    const json: unknown = JSON.parse(line)
    const rewards = isObject(json) ? json.rewards : json
    if (Array.isArray(rewards)) return rewards
  } catch {
    // Said below.
  }
  throw new SyntaxError(`${who} wrote ${show(line)}, expected { "rewards": [0.5, …] }`)
}
