// Records of preferences as token ids: the dataset's schema, the instruct template, truncation and labels as
// TRL 0.8.2 and alignment-handbook have them, which tuned the release's instruct models.
import { checkObject, checkWhole, kindOf } from "../../engine/index.ts"
import { type ChatMessage, checkMessages, instructed, type Tokenizer } from "../../model/index.ts"
import { ignoredLabel, type Labelled } from "./batch.ts"

/** Two conversations that differ in their last turn, the answer; other columns count nothing. */
export interface PreferenceRecord {
  readonly chosen: readonly ChatMessage[]
  readonly rejected: readonly ChatMessage[]
}

/** How long a prompt and its answers may be, in tokens. */
export interface PreferenceLimits {
  /** Of a prompt with its longer answer; default 1024. */
  readonly maxLength?: number
  /** Of a prompt that is cut because the two are longer; default 512. */
  readonly maxPromptLength?: number
  /** Which part of such a prompt stays; default "keep_end". */
  readonly truncation?: "keep_end" | "keep_start"
}

/** A record as ids and labels; the labels of prompts are −100. */
export interface TokenizedPreference {
  readonly prompt: readonly number[]
  readonly chosen: Labelled
  readonly rejected: Labelled
}

/** The text of a record's prompt and of its answers, each turn under its role. Throws TypeError and RangeError
 *  naming what is wrong with the record. */
export function preferenceTexts(record: PreferenceRecord) {
  checkObject("preference: the record", record)
  const { chosen, rejected } = record
  checkMessages(chosen)
  checkMessages(rejected)
  if (chosen.length < 2) {
    throw new RangeError("preference: chosen has one turn, expected a prompt and an answer")
  }
  const answerOf = (messages: readonly ChatMessage[]) =>
    instructed(messages.slice(-1), { isPart: true })
  return {
    prompt: instructed(chosen.slice(0, -1)),
    chosen: answerOf(chosen),
    rejected: answerOf(rejected),
  }
}

/** Ids and labels of a record. Throws TypeError and RangeError naming the option or the field. */
export function tokenizePreference(
  record: PreferenceRecord,
  tokenizer: Tokenizer,
  limits: PreferenceLimits = {},
): TokenizedPreference {
  checkObject("tokenizePreference: limits", limits)
  if (typeof tokenizer?.encode !== "function") {
    throw new TypeError(`tokenizePreference: the tokenizer is ${kindOf(tokenizer)}`)
  }
  const { maxLength = 1024, maxPromptLength = 512, truncation = "keep_end" } = limits
  checkWhole("tokenizePreference: maxLength", maxLength, 2)
  checkWhole("tokenizePreference: maxPromptLength", maxPromptLength, 1, maxLength - 1)
  if (truncation !== "keep_end" && truncation !== "keep_start") {
    throw new RangeError(`tokenizePreference: truncation must be "keep_end" or "keep_start"`)
  }
  const texts = preferenceTexts(record)
  const ids = (text: string): number[] => tokenizer.encode(text, { special: true })
  const alone = ids(texts.prompt)
  const split = (text: string): Split => {
    const whole = ids(texts.prompt + text)
    // A merge may cross the border: then the answer begins a token earlier.
    const isSplit = alone.some((id, i) => whole[i] !== id)
    const start = alone.length - Number(isSplit)
    const prompt = [tokenizer.bosId, ...whole.slice(0, start)]
    return { prompt, answer: [...whole.slice(start), tokenizer.eosId] }
  }
  const [chosen, rejected] = [split(texts.chosen), split(texts.rejected)]
  const shared = Math.min(chosen.prompt.length, rejected.prompt.length)
  const altered = chosen.prompt.slice(0, shared).filter((id, i) => id !== rejected.prompt[i])
  if (altered.length > 1) {
    throw new RangeError(
      `preference: the answers alter ${altered.length} tokens of their prompt, expected its last one at most`,
    )
  }
  const prompt = [tokenizer.bosId, ...alone].slice(0, shared)
  const longest = Math.max(chosen.answer.length, rejected.answer.length)
  const cut = (given: readonly number[]): readonly number[] => {
    if (given.length + longest <= maxLength) return given
    return truncation === "keep_end"
      ? given.slice(-maxPromptLength)
      : given.slice(0, maxPromptLength)
  }
  const labelled = ({ prompt, answer }: Split): Labelled => {
    const before = cut(prompt)
    const isLong = before.length + longest > maxLength
    const after = isLong ? answer.slice(0, maxLength - maxPromptLength) : answer
    return {
      ids: [...before, ...after],
      labels: [...before.map(() => ignoredLabel), ...after],
    }
  }
  return { prompt: cut(prompt), chosen: labelled(chosen), rejected: labelled(rejected) }
}

interface Split {
  readonly prompt: readonly number[]
  readonly answer: readonly number[]
}
