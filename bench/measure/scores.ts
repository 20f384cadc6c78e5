// How fast continuations are scored: made-up requests of the lengths that evaluations have, in turns with a
// prompt of the length at which the processor is busiest.
import type { Backend } from "../../engine/index.ts"
import {
  type Continued,
  internals,
  LanguageModel,
  publishedConfig,
  type WeightDType,
} from "../../model/index.ts"
import { promptOf } from "./lengths.ts"
import { ratesOf } from "./repeats.ts"
import type { Report } from "./report.ts"
import { type Spread, spreadOf } from "./statistics.ts"
import { time } from "./throughput.ts"

interface ScoresOptions {
  readonly model: string
  readonly dtype: WeightDType
  readonly repeat: number
}

export interface ScoresRow {
  readonly requests: string
  readonly count: number
  /** Of all requests, each by itself; and those that are read, since what some begin with is read once. */
  readonly tokens: number
  readonly tokensRead: number
  readonly tokensPerSecond: Spread
  readonly readPerSecond: Spread
  readonly promptTokensPerSecond: Spread
  /** Tokens read, and tokens of requests, per second over the prompt's; medians of the turns. */
  readonly readOverPrompt: number
  readonly tokensOverPrompt: number
}

/** Tokens of the prompt that the others are held against. */
const promptTokens = 512

/** Ids from a seeded sequence, each but a little different from those before. */
function texts(V: number) {
  let at = 0
  return (count: number): number[] =>
    Array.from({ length: count }, () => 3 + ((++at * 7919) % (V - 3)))
}

interface Mix {
  readonly name: string
  readonly requests: readonly Continued[]
}

/** Documents of four choices that an evaluation asks about at a time. */
const documentsAtOnce = 64

/** Lengths in tokens as Llama's tokenizer has them of the published documents. */
export function mixesOf({ vocabSize, bosId = 1 }: ReturnType<typeof publishedConfig>): Mix[] {
  const text = texts(vocabSize)
  const after = (context: readonly number[], ...ends: readonly (readonly number[])[]) =>
    ends.map((end): Continued => ({ ids: [...context, ...end], from: context.length }))
  const documents = (contexts: readonly number[], ends: readonly number[]): Continued[] =>
    Array.from({ length: documentsAtOnce }, (_, i) => contexts[i % contexts.length] as number)
      // Of each four, some a little longer than others.
      .map((length, i) => ({ length, more: Math.floor(i / contexts.length) % 4 }))
      .flatMap(({ length, more }) =>
        after([bosId, ...text(length + more)], ...ends.map((end) => text(end + more))),
      )
  const examples = text(600)
  const letters = [1, 1, 1, 1]
  const questions = [70, 110, 90, 130].map((length) => text(length))
  const begun = questions.flatMap((each) =>
    after([bosId, ...examples, ...each], ...letters.map(text)),
  )
  const anew = letters.flatMap((length) =>
    after([bosId, ...text(1), ...examples.slice(1), ...(questions[2] as number[])], text(length)),
  )
  return [
    {
      name: "questions, 4 answers",
      requests: documents([31, 44, 26, 58, 37, 71, 29, 40], [3, 5, 8, 6]),
    },
    { name: "texts, 4 endings", requests: documents([64, 92, 78, 85, 70], [18, 25, 30, 22]) },
    { name: "5 examples, shared", requests: begun },
    { name: "5 examples, each anew", requests: anew },
  ]
}

/** Tokens that are read where each beginning is read once. */
export function readOnce(requests: readonly Continued[]): number {
  const nodes = new Map<string, number>()
  const reads = requests.map(({ ids }) => ids.slice(0, -1).map((id) => id.toString(36).padStart(4)))
  for (const read of reads) nodes.set(read.join(""), read.length)
  const inOrder = [...nodes.keys()].sort()
  return inOrder.reduce(
    (sum, read, i) => sum + read.length / 4 - alike(inOrder[i - 1] ?? "", read),
    0,
  )
}

/** Tokens, of four letters each, with which both begin. */
function alike(a: string, b: string): number {
  let at = 0
  while (at < a.length && a.slice(at, at + 4) === b.slice(at, at + 4)) at += 4
  return at / 4
}

/** Measures all in turns, after a round that is not timed. */
export async function benchScores(
  backend: Backend,
  { model: name, dtype, repeat }: ScoresOptions,
  report: Report,
): Promise<ScoresRow[]> {
  const config = publishedConfig(name)
  await using model = await LanguageModel.random(config, { backend, dtype, capacity: 1024 })
  const mixes = mixesOf(config)
  const prompt = promptOf(promptTokens, config)
  const prompts: number[] = []
  const times = mixes.map((): number[] => [])
  for (let round = 0; round <= repeat; round++) {
    report(`${name} ${dtype}: prompt`, round / (repeat + 1))
    const timing = await time(model, prompt, 2)
    if (round > 0) prompts.push(ratesOf(timing, { prompt: promptTokens, generate: 2 }).prompt)
    for (const [i, { name: mix, requests }] of mixes.entries()) {
      report(`${name} ${dtype}: ${mix}`, round / (repeat + 1))
      const start = performance.now()
      await internals(model).score(requests)
      // The first round records the plans.
      if (round > 0) times[i]?.push((performance.now() - start) / 1000)
    }
  }
  return mixes.map((mix, i) => rowOf(mix, times[i] as number[], prompts))
}

function rowOf(
  { name, requests }: Mix,
  seconds: readonly number[],
  prompts: readonly number[],
): ScoresRow {
  const tokens = requests.reduce((sum, { ids }) => sum + ids.length - 1, 0)
  const tokensRead = readOnce(requests)
  const [all, read] = [tokens, tokensRead].map((count) =>
    spreadOf(seconds.map((s) => count / s)),
  ) as [Spread, Spread]
  const prompt = spreadOf(prompts)
  return {
    ...{ requests: name, count: requests.length, tokens, tokensRead },
    ...{ tokensPerSecond: all, readPerSecond: read, promptTokensPerSecond: prompt },
    readOverPrompt: read.median / prompt.median,
    tokensOverPrompt: all.median / prompt.median,
  }
}
