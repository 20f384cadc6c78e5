// The stages of statistical rejection sampling, each a file of lines that a person can look at: candidates,
// their rewards, the accepted ones, pairs of these.  Liu et al. 2023, arXiv 2309.06657
import { uniformAt } from "../../engine/index.ts"
import { fromNode } from "../../engine/node.ts"
import { rowsOf } from "../../model/files/rows.ts"
import {
  type ChatMessage,
  checkMessages,
  instructed,
  type LanguageModel,
  type Tokenizer,
  writeFileWhole,
} from "../../model/index.ts"
import { show } from "../../model/json.ts"
import { type Communicator, gatherNumbers } from "../parallel/communicator.ts"
import { rankPairs, rejectionSample } from "../preference/rejection.ts"
import { inEither } from "../spelling.ts"
import type { RsoSettings } from "./fields.ts"
import { StageFile } from "./lines.ts"
import type { AnswerScorer } from "./score.ts"

/** Answers that the policy sampled for a record, and the one that they are compared with. */
interface CandidatesLine {
  readonly record: number
  readonly prompt: readonly ChatMessage[]
  readonly candidates: readonly string[]
  readonly baseline: string
}

interface RewardsLine {
  readonly record: number
  readonly rewards: readonly number[]
}

/** Accepted answers in the order of acceptance; none of a record that was passed over. */
interface AcceptedLine {
  readonly record: number
  readonly accepted: readonly { readonly text: string; readonly reward: number }[]
}

/** What a stage works with. */
export interface StageOptions {
  readonly settings: RsoSettings
  readonly ranks: Communicator
  readonly signal: AbortSignal | undefined
  onProgress(what: string, part?: number): void
  onSkip(message: string): void
}

const isNumber = (x: unknown): x is number => typeof x === "number"
const fileOf = ({ out }: RsoSettings, name: string): string => fromNode("node:path").join(out, name)

export const openCandidates = (settings: RsoSettings, ranks: Communicator) =>
  StageFile.open<CandidatesLine>(
    fileOf(settings, "candidates.jsonl"),
    ({ record, prompt, candidates }) =>
      isNumber(record) && Array.isArray(prompt) && Array.isArray(candidates),
    ranks,
  )

export const openRewards = (settings: RsoSettings, ranks: Communicator) =>
  StageFile.open<RewardsLine>(
    fileOf(settings, "rewards.jsonl"),
    ({ record, rewards }) => isNumber(record) && Array.isArray(rewards) && rewards.every(isNumber),
    ranks,
  )

/** A record's conversation up to the answer, with its number. */
interface Asking {
  readonly record: number
  readonly prompt: readonly ChatMessage[]
}

/** The prompts of records of any kind that is tuned on. Throws TypeError naming a record without one, unless
 *  such are to be passed over. */
export async function promptsIn({ settings, onSkip }: StageOptions): Promise<readonly Asking[]> {
  const path = settings.data as string
  return (await rowsOf(path)).flatMap(({ number, row }) => {
    try {
      return [{ record: number, prompt: promptOf(row) }]
    } catch (error) {
      const message = `${path} record ${number}: ${(error as Error).message}`
      if (!settings.skipBad) throw new TypeError(message, { cause: error })
      onSkip(message)
      return []
    }
  })
}

function promptOf(row: Readonly<Record<string, unknown>>): readonly ChatMessage[] {
  const { prompt, messages, chosen, instruction, input } = row
  const turns = [chosen, messages, prompt].find((value) => Array.isArray(value))
  if (turns !== undefined) {
    checkMessages(turns)
    const isAnswered = turns.at(-1)?.role === "assistant" && turns.length > 1
    return isAnswered ? turns.slice(0, -1) : turns
  }
  const text =
    typeof instruction === "string" ? [instruction, input].filter(Boolean).join("\n") : prompt
  if (typeof text === "string" && text.trim() !== "") return [{ role: "user", content: text }]
  throw new TypeError(
    `it has the fields ${show(Object.keys(row))}, expected prompt, messages, chosen or instruction`,
  )
}

/** Samples answers for every prompt that has none yet. Whether all have. */
export function sampleStage(
  asking: readonly Asking[],
  file: StageFile<CandidatesLine>,
  { model, tokenizer }: { readonly model: LanguageModel; readonly tokenizer: Tokenizer },
  { settings, signal, onProgress, onSkip }: StageOptions,
): Promise<boolean> {
  const { candidates: count, temperature, topK, maxNewTokens, together, seed } = settings
  const onPart = (part: number): void => onProgress("sampling", part)
  return file.fill(asking, { signal, onPart, onSkip }, async ({ record, prompt }, skip) => {
    const text = instructed(prompt, { addGenerationPrompt: true })
    const ids = tokenizer.encode(text, { special: true, bos: tokenizer.bosId >= 0 })
    const room = model.capacity - ids.length
    if (room < 1) {
      const message = `record ${record}: its prompt has ${ids.length} tokens, beyond the context of ${model.capacity}`
      if (!settings.skipBad) throw new RangeError(message)
      skip(message)
      return { record, prompt, candidates: [], baseline: "" }
    }
    const texts: string[] = []
    // One more, which the others are compared with.
    while (texts.length <= count) {
      const some = Math.min(together, count + 1 - texts.length)
      const own = (seed + record * (count + 1) + texts.length) % 2 ** 32
      const found = await model.complete(ids, {
        ...{ numReturnSequences: some, batchSize: some, seed: own, temperature, topK },
        maxNewTokens: Math.min(maxNewTokens, room),
      })
      texts.push(...found.map((completion) => completion.text.trim()))
    }
    const baseline = texts.pop() as string
    return { record, prompt, candidates: texts, baseline }
  })
}

/** Scores the candidates of every record that has no rewards yet. Whether all have. */
export function scoreStage(
  candidates: readonly CandidatesLine[],
  file: StageFile<RewardsLine>,
  score: AnswerScorer,
  { signal, onProgress, onSkip }: StageOptions,
): Promise<boolean> {
  const onPart = (part: number): void => onProgress("scoring", part)
  return file.fill(candidates, { signal, onPart, onSkip }, async (line) => {
    const { record, prompt, candidates: texts, baseline } = line
    const rewards = texts.length > 0 ? await score({ prompt, candidates: texts, baseline }) : []
    const isWhole = rewards.length === texts.length && rewards.every((x) => Number.isFinite(x))
    if (!isWhole) {
      throw new RangeError(
        `record ${record}: its rewards are ${show(rewards)}, expected ${texts.length} finite numbers`,
      )
    }
    return { record, rewards: [...rewards] }
  })
}

/** Accepted answers of every record, and pairs of them, each file written whole. Throws RangeError for too few
 *  different answers, unless such records are to be passed over. */
export async function acceptStage(
  candidates: readonly CandidatesLine[],
  rewards: readonly RewardsLine[],
  { settings, ranks, onSkip }: StageOptions,
): Promise<{ readonly pairs: string; readonly count: number }> {
  const { accept: k, samplingBeta: beta, seed, pairs: how, skipBad } = settings
  const [accepted, pairs]: [AcceptedLine[], object[]] = [[], []]
  for (const [i, { record, prompt, candidates: texts }] of candidates.entries()) {
    const own = (rewards[i] as RewardsLine).rewards
    const filled = texts.map((text, n) => [text, n] as const).filter(([text]) => text !== "")
    const [named, scores] = [filled.map(([text]) => text), filled.map(([, n]) => own[n] as number)]
    const different = new Set(named).size
    // Of a prompt that was passed over there are none.
    if (texts.length === 0) {
      accepted.push({ record, accepted: [] })
      continue
    }
    if (different < k) {
      const message = `record ${record}: ${different} different answers, ${k} to be accepted`
      if (!skipBad) {
        const next = `Sample more, accept fewer, or pass over with ${inEither("skipBad")}`
        throw new RangeError(`${message}. ${next}`)
      }
      onSkip(message)
      accepted.push({ record, accepted: [] })
      continue
    }
    let drawn = 0
    const uniform = (): number => uniformAt(seed, acceptStream, record, drawn++)
    const order = rejectionSample({ texts: named, rewards: scores, beta, k, uniform })
    const text = (n: number): string => named[n] as string
    accepted.push({
      record,
      accepted: order.map((n) => ({ text: text(n), reward: scores[n] as number })),
    })
    const answered = (n: number) => [...prompt, { role: "assistant", content: text(n) }]
    for (const [winner, loser] of rankPairs(scores, order, how)) {
      pairs.push({ chosen: answered(winner), rejected: answered(loser) })
    }
  }
  const path = fileOf(settings, "pairs.jsonl")
  if (ranks.rank === 0) {
    await writeLines(fileOf(settings, "accepted.jsonl"), accepted)
    await writeLines(path, pairs)
  }
  // All are about to read them.
  await gatherNumbers(ranks, [pairs.length])
  return { pairs: path, count: pairs.length }
}

/** Of the random numbers of acceptance: no weight has this one. */
const acceptStream = 0x52534f

const writeLines = (path: string, lines: readonly object[]): Promise<void> =>
  writeFileWhole(
    path,
    new TextEncoder().encode(lines.map((line) => `${JSON.stringify(line)}\n`).join("")),
  )
