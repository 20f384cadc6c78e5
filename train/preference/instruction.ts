// Records of instruction data as one text: CoreNet's prompt for commonsense-170k, its spaces as they are.
import { checkObject } from "../../engine/index.ts"

/** Alpaca's fields. */
export interface InstructionRecord {
  readonly instruction: string
  readonly input?: string
  readonly output: string
}

const indent = " ".repeat(16)
const task = "Below is an instruction that describes a task"
const request = "Write a response that appropriately completes the request."

/** The text that a record is trained on, prompt and answer. Throws TypeError naming the field. */
export function instructionText(record: InstructionRecord): string {
  checkObject("instructionText: the record", record)
  const { instruction, input = "", output } = record
  for (const [name, value] of Object.entries({ instruction, input, output })) {
    if (typeof value !== "string") {
      throw new TypeError(`instructionText: ${name} must be a text, got ${typeof value}`)
    }
  }
  const isPaired = input !== ""
  const head = isPaired
    ? `${task}, paired with an input that provides further context. ${request} `
    : `${task}. ${request}  `
  const parts: [string, string][] = [
    ["Instruction", instruction],
    ...(isPaired ? ([["Input", input]] as [string, string][]) : []),
    ["Response", output],
  ]
  const sections = parts.map(([name, text]) => `${indent}### ${name}:\n${indent}${text}`)
  return `${head}\n\n${sections.join(`\n${indent}\n`)}`
}
