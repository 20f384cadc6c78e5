// The checks of a configuration's fields, and the release's layout of the same.
import * as v from "valibot"
import { brief, isObject, show } from "../../model/json.ts"
import { choice, flag, issueError, issuePath, whole } from "../../model/schema.ts"
import { codeName, fromFile, inFile, isRelease, type Spelling } from "../spelling.ts"
import { normalizations } from "./normalize.ts"

const text = v.pipe(
  v.string("a text"),
  v.check((x) => x !== "", "a text that is not empty"),
)
const range = "two whole numbers [a, b), a below b"

const sourceSchema = v.strictObject(
  {
    fileName: text,
    textKey: v.optional(text, "text"),
    fileIdRange: v.optional(
      v.pipe(
        v.strictTuple([v.number(range), v.number(range)], range),
        v.check(([a, b]) => Number.isInteger(a) && Number.isInteger(b) && 0 <= a && a < b, range),
      ),
    ),
    documents: v.optional(choice("file", "paragraphs", "lines"), "file"),
  },
  "a path, or an object with fileName",
)

const schema = v.strictObject(
  {
    sources: v.pipe(
      v.array(sourceSchema, "a list of sources"),
      v.check((list) => list.length > 0, "a list with at least one source"),
    ),
    validation: v.optional(v.array(sourceSchema, "a list of sources"), []),
    holdOut: v.optional(
      v.pipe(
        v.number("a number from 0 to 0.5"),
        v.check((x) => x >= 0 && x <= 0.5, "a number from 0 to 0.5"),
      ),
      0,
    ),
    root: v.optional(text, "."),
    tokenizer: v.optional(text),
    sequenceLength: v.optional(whole(1, 1 << 20), 2048),
    wordsPerPiece: v.optional(whole(1, 1 << 24), 2048),
    minCharacters: v.optional(whole(0)),
    minTokens: v.optional(whole(0)),
    readerChunkSize: v.optional(whole(1, 1 << 20), 1024),
    shuffleData: v.optional(flag, true),
    seed: v.optional(whole(-Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER), 0),
    normalization: v.optional(choice(...normalizations), "ftfy"),
    pack: v.optional(flag, false),
    shuffleWindows: v.optional(whole(1, 1 << 20), 1024),
    onError: v.optional(choice("stop", "skip"), "stop"),
    workers: v.optional(whole(0, 64), 1),
    interleave: v.optional(whole(1), 1),
    shardBy: v.optional(choice("files", "documents")),
  },
  "an object with sources",
)

export type DataFields = v.InferOutput<typeof schema>

/** The fields of a configuration that came from `from`, where they are so `spelled`. Throws TypeError or
 *  RangeError that names a field as it is there. */
export function checkFields(json: unknown, from: string, spelled: Spelling): DataFields {
  const own = isObject(json) && isObject(json.data) ? json.data : json
  if (!isObject(own)) return checkNamed(own, from, spelled)
  if (isRelease(own)) return checkNamed(fromFile(releaseFields(own), from), from, inFile)
  return checkNamed(spelled === inFile ? fromFile(own, from) : own, from, spelled)
}

function checkNamed(fields: unknown, from: string, spelled: Spelling): DataFields {
  const named = isObject(fields)
    ? { ...fields, ...sourceLists(fields, "sources"), ...sourceLists(fields, "validation") }
    : fields
  const result = v.safeParse(schema, named)
  if (result.success) return result.output
  throw explain(result.issues[0], from, spelled)
}

/** Plain paths in a list of sources as sources. */
function sourceLists(fields: Readonly<Record<string, unknown>>, name: string) {
  const list = fields[name]
  if (!Array.isArray(list)) return {}
  return { [name]: list.map((x) => (typeof x === "string" ? { fileName: x } : x)) }
}

function explain(issue: v.BaseIssue<unknown>, from: string, spelled: Spelling): Error {
  const path = issuePath(issue)
  const at = brief(spelled(path))
  if (issue.type === "strict_object" && issue.expected === "never") {
    const known = codeName(path)
    const next = known in schema.entries ? `It is ${spelled(known)}` : "Check its name"
    return new RangeError(`${from}: there is no field ${at}. ${next}`)
  }
  const isMissing = issue.received === "undefined" && issue.type === "strict_object"
  const message = isMissing
    ? `${from}: ${at} is missing. Add it`
    : `${from}: ${at || "the configuration"} is ${show(issue.input)}, expected ${spelled(issue.message)}`
  return issueError(issue, message)
}

/** The fields that the release's YAML has under dataset.language_modeling; the rest is the trainer's. */
function releaseFields(json: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const common = inside(inside(json, "dataset"), "language_modeling")
  const general = inside(common, "general_lm")
  const pairs: [string, unknown][] = [
    ["sources", general.train_data_info],
    ["validation", general.val_data_info],
    ["sequence_length", common.sequence_length],
    ["min_tokens", common.min_tokens_per_text ?? 0],
    ["min_characters", common.min_characters_per_text ?? 0],
    ["shuffle_data", common.shuffle_data ?? false],
    ["seed", common.random_seed],
    ["words_per_piece", general.document_split_size],
    ["reader_chunk_size", general.reader_chunk_size],
    ["tokenizer", inside(inside(json, "text_tokenizer"), "sentence_piece").model_path],
  ]
  return Object.fromEntries(pairs.filter(([, value]) => value !== undefined && value !== null))
}

function inside(json: Readonly<Record<string, unknown>>, name: string) {
  const value = json[name]
  return isObject(value) ? value : {}
}
