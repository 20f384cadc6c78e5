// Records of instruction data as labelled texts: alpaca's fields by CoreNet's prompt, conversations by the
// model's chat template. Labels count from where the text of a prompt ends in its tokens.
import { checkMessages, rendered, type Tokenizer } from "../../model/index.ts"
import { show } from "../../model/json.ts"
import { ignoredLabel, type Labelled } from "../preference/batch.ts"
import { type InstructionRecord, instructionText } from "../preference/instruction.ts"
import type { TuningModel } from "./objective.ts"

type Json = Readonly<Record<string, unknown>>

/** How a record becomes a text. */
interface TextOptions {
  /** What carries a loss. */
  readonly lossOn: "answers" | "all"
  /** Tokens that are kept. */
  readonly most: number
  readonly chatTemplate?: string
}

/** A record as ids and labels. Throws TypeError and RangeError saying what is wrong with it. */
export async function labelledOf(
  record: Json,
  opened: TuningModel,
  { lossOn, most, chatTemplate }: TextOptions,
): Promise<Labelled> {
  const { ids, answers } =
    record.messages === undefined
      ? alpaca(record, opened.tokenizer)
      : await conversation(record.messages, opened, chatTemplate)
  const counts = (at: number): boolean =>
    lossOn === "all" || answers.some(([start, end]) => at >= start && at < end)
  const kept = ids.slice(0, most)
  const labels = kept.map((id, at) => (counts(at) ? id : ignoredLabel))
  if (labels.slice(1).some((label) => label !== ignoredLabel)) return { ids: kept, labels }
  if (answers.length > 0 && ids.length > most) {
    const start = answers[0]?.[0] as number
    throw new RangeError(`its prompt has ${start} tokens, beyond the context of ${most - 1}`)
  }
  throw new RangeError("every label is masked: it has no answer that counts")
}

/** Tokens, and those of answers: from one up to another. */
interface Text {
  readonly ids: readonly number[]
  readonly answers: readonly (readonly [start: number, end: number])[]
}

function alpaca(record: Json, tokenizer: Tokenizer): Text {
  const { instruction, input, output } = record
  if (typeof instruction !== "string" || typeof output !== "string") {
    const names = Object.keys(record)
    throw new TypeError(
      `it has the fields ${show(names)}, expected instruction and output, or messages`,
    )
  }
  if (output.trim() === "") throw new RangeError("output is empty, expected an answer")
  if (input !== undefined && input !== null && typeof input !== "string") {
    throw new TypeError(`input is ${show(input)}, expected a text`)
  }
  const own: InstructionRecord = { instruction, input: input ?? "", output }
  const begins = { bos: tokenizer.bosId >= 0 }
  const ids = tokenizer.encode(instructionText(own), { ...begins, eos: true })
  const prompt = tokenizer.encode(instructionText({ ...own, output: "" }), begins)
  return { ids, answers: [[sharedLength(prompt, ids), ids.length]] }
}

/** Tokens with which both begin: a merge may cross the border of prompt and answer. */
function sharedLength(prompt: readonly number[], ids: readonly number[]): number {
  const differs = prompt.findIndex((id, i) => ids[i] !== id)
  return differs < 0 ? prompt.length : differs
}

async function conversation(
  messages: unknown,
  { tokenizer, templates }: TuningModel,
  chatTemplate: string | undefined,
): Promise<Text> {
  checkMessages(messages)
  const chosen = chatTemplate === undefined ? {} : { chatTemplate }
  const textOf = (count: number, addGenerationPrompt: boolean) =>
    rendered(messages.slice(0, count), templates, { ...chosen, addGenerationPrompt })
  const { text: whole, needsBos } = await textOf(messages.length, false)
  const encode = (text: string): number[] =>
    tokenizer.encode(text, { special: true, bos: needsBos && tokenizer.bosId >= 0 })
  const ids = encode(whole)
  const answers: [number, number][] = []
  for (const [i, { role, content }] of messages.entries()) {
    if (role !== "assistant") continue
    if (content.trim() === "") throw new RangeError(`messages[${i}].content is an empty answer`)
    const before = (await textOf(i, true)).text
    const after = (await textOf(i + 1, false)).text
    if (!whole.startsWith(after) || !after.startsWith(before)) {
      throw new RangeError(
        `the chat template alters what was said before messages[${i}], so that its tokens are not ` +
          "known. Train on all of them, or give another template",
      )
    }
    const isLast = i === messages.length - 1
    const end = isLast ? ids.length : sharedLength(encode(after), ids)
    answers.push([sharedLength(encode(before), ids), end])
  }
  return { ids, answers }
}

/** The tokens before the first label that counts. */
export function promptOf({ ids, labels }: Labelled): readonly number[] {
  const start = labels.findIndex((label) => label !== ignoredLabel)
  return start < 1 ? ids.slice(0, 1) : ids.slice(0, start)
}
