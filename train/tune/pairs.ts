// Records of preferences as they come in files, checked: UltraFeedback's two conversations, or a prompt with
// two answers as texts.
import { checkMessages } from "../../model/index.ts"
import { show } from "../../model/json.ts"
import type { PreferenceRecord } from "../preference/tokenize.ts"

/** Two conversations. Throws TypeError and RangeError saying what is wrong with a record. */
export function recordOf(json: Readonly<Record<string, unknown>>): PreferenceRecord {
  const { prompt, chosen, rejected } = json
  if (typeof prompt === "string" && typeof chosen === "string" && typeof rejected === "string") {
    const turns = (content: string) => [
      { role: "user", content: prompt },
      { role: "assistant", content },
    ]
    return checked({ chosen: turns(chosen), rejected: turns(rejected) })
  }
  if (!Array.isArray(chosen) || !Array.isArray(rejected)) {
    throw new TypeError(
      `it has the fields ${show(Object.keys(json))}, expected chosen and rejected, lists of messages, ` +
        "or texts beside a prompt",
    )
  }
  checkMessages(chosen)
  checkMessages(rejected)
  return checked({ chosen, rejected })
}

function checked(record: PreferenceRecord): PreferenceRecord {
  const [chosen, rejected] = [record.chosen, record.rejected].map(
    (messages) => messages.at(-1)?.content ?? "",
  ) as [string, string]
  for (const [name, answer] of Object.entries({ chosen, rejected })) {
    if (answer.trim() === "") throw new RangeError(`${name} ends with an empty answer`)
  }
  if (chosen === rejected) throw new RangeError("chosen and rejected are the same answer")
  return record
}
