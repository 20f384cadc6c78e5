// Texts that keep to JSON and to schemas: whatever the logits are, what ended is JSON that its schema allows,
// and what did not could have gone on. Of every kind of tokenizer, through every way that asks.
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import OpenAI from "openai"
import { uniformAt } from "../engine/index.ts"
import {
  createService,
  type JsonOption,
  listen,
  loadTokenizer,
  OpenELM,
  open,
  scaledConfig,
} from "../index.ts"
import { jsonChange } from "../model/generate/json/index.ts"
import type { Tokenizer } from "../model/index.ts"
import { endsOf } from "./command.ts"
import { fixture } from "./fixtures.ts"
import t from "./tap.ts"
import { llamaTokenizers } from "./tokenizers.ts"

const person = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  type: "object",
  properties: {
    name: { type: "string", minLength: 1, maxLength: 6, description: "who" },
    age: { type: "integer", minimum: 0, exclusiveMaximum: 131 },
    tags: { type: "array", items: { enum: ["a", "bé", 'c"d', 7] }, minItems: 1, maxItems: 3 },
    kind: { const: { a: [1, null] } },
    size: { type: ["number", "null"] },
  },
  required: ["name", "age", "tags", "kind"],
  additionalProperties: false,
}
const tree = {
  $defs: {
    tree: {
      type: "object",
      properties: {
        leaf: { type: "boolean" },
        of: { type: "array", items: { $ref: "#/$defs/tree" }, maxItems: 1 },
      },
      required: ["leaf"],
      additionalProperties: false,
    },
  },
  $ref: "#/$defs/tree",
}
const either = {
  anyOf: [
    { type: "integer", minimum: -15, maximum: -3 },
    {
      type: "object",
      properties: { ab: { type: "null" } },
      additionalProperties: { type: "boolean" },
    },
    { type: "array", items: { type: "number" } },
  ],
}
const schemas: readonly JsonOption[] = ["object", person, tree, either]

type Json = Record<string, unknown>

/** Whether a value is what a schema allows, of what the schemas above ask. */
function allows(schema: Json, value: unknown, root = schema): boolean {
  if (schema.$ref) return allows((root.$defs as Json).tree as Json, value, root)
  if (schema.anyOf) return (schema.anyOf as Json[]).some((each) => allows(each, value, root))
  const same = (x: unknown) => JSON.stringify(x) === JSON.stringify(value)
  if ("const" in schema) return same(schema.const)
  if (schema.enum) return (schema.enum as unknown[]).some(same)
  const types = [schema.type].flat()
  return types.some((type) => allowsType(String(type), schema, value, root))
}

function allowsType(type: string, schema: Json, value: unknown, root: Json): boolean {
  const within = (x: number, least: string, most: string) =>
    x >= Number(schema[least] ?? -Infinity) && x <= Number(schema[most] ?? Infinity)
  if (type === "null") return value === null
  if (type === "string") {
    return typeof value === "string" && within([...value].length, "minLength", "maxLength")
  }
  if (type === "integer" && !Number.isInteger(value)) return false
  if (type === "integer" || type === "number") {
    const below = Number(value) < Number(schema.exclusiveMaximum ?? Infinity)
    return typeof value === "number" && below && within(value, "minimum", "maximum")
  }
  if (type === "array") {
    if (!Array.isArray(value) || !within(value.length, "minItems", "maxItems")) return false
    return value.every((each) => allows(schema.items as Json, each, root))
  }
  if (type !== "object") return typeof value === type
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false
  const { properties = {}, required = [], additionalProperties: others } = schema
  const all = Object.entries(value).every(([key, each]) => {
    const own = (properties as Json)[key] ?? others
    return own !== false && allows(own as Json, each, root)
  })
  return all && (required as string[]).every((key) => Object.hasOwn(value, key))
}

const keeps = (json: JsonOption, text: string): boolean => {
  const value: unknown = JSON.parse(text)
  if (json === "object") return typeof value === "object" && !Array.isArray(value)
  return allows(json as Json, value)
}

const tokenizers: Record<string, Tokenizer> = {
  bytes: await loadTokenizer("byte"),
  SentencePiece: llamaTokenizers().model,
  "byte-level": await loadTokenizer(fixture("bpe/gpt2/tokenizer.json")),
}

const pool = Float64Array.from({ length: 1 << 16 }, (_, i) => uniformAt(1, 0, 0, i))

for (const [name, tokenizer] of Object.entries(tokenizers)) {
  t.test(`whatever the logits are, JSON comes of them: ${name}`, (t) => {
    const { vocabSize: V, eosId } = tokenizer
    const spaces = [...Array(V).keys()].filter((id) => /^\s+$/.test(tokenizer.decode([id])))
    for (const [s, json] of schemas.entries()) {
      const change = jsonChange(json, tokenizer, "json")
      let ended = 0
      for (let seed = 0; seed < 12; seed++) {
        const ids = [1]
        for (let n = 0; n < 160 && ids.at(-1) !== eosId; n++) {
          const from = 7919 * n + 104729 * (seed + 12 * s)
          const scores = Float64Array.from({ length: V }, (_, id) => pool[(from + id) & 65535] ?? 0)
          // What ends things is likelier than the many that could go on.
          for (const text of ['"', "]", "}"]) {
            for (const id of tokenizer.encode(text)) scores[id] = (scores[id] ?? 0) + (n % 3) / 2
          }
          for (const id of spaces) scores[id] = (scores[id] ?? 0) / 2
          scores[eosId] = 2
          change(scores, { ids, promptLength: 1, ends: [eosId], longest: 99, keep: 1 })
          ids.push(scores.reduce((best, x, id) => (x > (scores[best] as number) ? id : best), 0))
        }
        const text = tokenizer.decode(ids.slice(1))
        if (ids.at(-1) !== eosId) continue
        ended++
        t.ok(keeps(json, text), text)
      }
      t.ok(ended > 0, `${JSON.stringify(json).slice(0, 30)}: ${ended} ended`)
    }
    t.end()
  })
}

const config = scaledConfig({
  ...{ name: "tiny", layers: 1, modelDim: 32, headDim: 16, vocabSize: 259, maxContext: 512 },
})

async function withTiny(work: (model: OpenELM) => Promise<void>): Promise<void> {
  await using backend = await open("wasm", { threads: 1 })
  await using model = await OpenELM.random(config, { backend, seed: 3, tokenizer: "byte" })
  await work(model)
}

t.test(
  "complete and generate keep to a schema, alone, side by side, with beams and guesses",
  async (t) => {
    await withTiny(async (model) => {
      const options = { json: person, temperature: 1, maxNewTokens: 250, stop: [257] }
      const all = await model.complete(["a", "bc", "def"], {
        ...options,
        seed: 1,
        numReturnSequences: 3,
      })
      const ended = all.filter(({ finishReason }) => finishReason !== "length")
      t.ok(ended.length > 2, `${ended.length} of ${all.length}`)
      for (const { text } of ended) t.ok(keeps(person, text), text)
      const cut = await model.complete("a", { ...options, maxNewTokens: 5 })
      t.equal(cut.finishReason, "length")
      for (const how of [{ promptLookupNumTokens: 3 }, { numBeams: 5 }, { topK: 5 }]) {
        const { text, finishReason } = await model.complete("a", {
          ...options,
          json: either,
          ...how,
        })
        if (finishReason !== "length") t.ok(keeps(either, text), text)
      }
      let streamed = ""
      for await (const { text } of model.generate("a", { ...options, json: tree, seed: 2 }))
        streamed += text
      t.ok(keeps(tree, streamed), streamed)
      await t.rejects(model.complete("a", { json: tree, temperature: 1, seed: 2, stop: [] }), {
        message: /no token ends it/,
      })
    })
  },
)

t.test("what cannot be kept to is refused by its place", async (t) => {
  const tokenizer = tokenizers.bytes as Tokenizer
  const deep = { type: "object", properties: { a: { type: "string", pattern: "x" } } }
  const cases: readonly (readonly [unknown, RegExp])[] = [
    [deep, /json: #\/properties\/a: "pattern" is not kept to here/],
    [{ type: "string", format: "email" }, /"format" is not kept/],
    [{ oneOf: [{}] }, /"oneOf" is not kept to/],
    [{ type: "text" }, /type is "text", expected string, integer/],
    [{ enum: [] }, /enum must be a list/],
    [{ enum: ["a"], type: "integer" }, /no value of its type/],
    [{ $ref: "other.json" }, /expected a place in this schema/],
    [{ $ref: "#/$defs/a" }, /is nowhere in this schema/],
    [{ $ref: "#" }, /#: (is nothing but itself|has no value that ends)/],
    [{ type: "array", items: { $ref: "#" }, minItems: 1 }, /has no value that ends/],
    [{ type: "array", minItems: 3, maxItems: 2 }, /minItems is above maxItems/],
    [{ type: "integer", minimum: 1.2, maximum: 1.8 }, /leaves no whole number/],
    [{ type: "object", required: ["a"], additionalProperties: false }, /requires "a"/],
    [{ type: "number", minimum: 0 }, /"minimum" is not kept/],
    [{ enum: Array.from({ length: 3000 }, (_, i) => i), type: "integer" }, /beyond the 2000/],
    ["json", /expected "object" or a JSON schema/],
  ]
  for (const [schema, message] of cases) {
    t.throws(() => jsonChange(schema as JsonOption, tokenizer, "json"), { message }, `${message}`)
  }
  t.throws(() => jsonChange("object", undefined, "json"), { name: "TypeError" })
})

t.test("openai: response_format, whole, several and as a stream, side by side", async (t) => {
  await withTiny(async (model) => {
    const service = createService(model, { name: "m", places: 4 })
    const { url, close } = await listen(service, { port: 0 })
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "key", maxRetries: 0 })
    const messages = [{ role: "user" as const, content: "a" }]
    const format = (schema: Json) => ({
      type: "json_schema" as const,
      json_schema: { name: "x", strict: true, schema },
    })
    const ask = { model: "m", messages, max_tokens: 250 }
    const { chat } = client
    const streamed = async (seed: number) => {
      const asked = { ...ask, seed, response_format: format(tree), stream: true } as const
      let [text, reason] = ["", ""]
      for await (const { choices } of await chat.completions.create(asked)) {
        text += choices[0]?.delta.content ?? ""
        reason = choices[0]?.finish_reason ?? reason
      }
      return [{ message: { content: text }, finish_reason: reason }]
    }
    const whole = async (response_format: object, seed: number) =>
      (await chat.completions.create({ ...ask, n: 2, seed, response_format } as never)).choices
    const [a, b, c, plain] = await Promise.all([
      whole(format(person), 1),
      streamed(2),
      whole({ type: "json_object" }, 3),
      chat.completions.create({ ...ask, max_tokens: 5, seed: 4 }),
    ])
    t.equal(plain.usage?.completion_tokens, 5)
    let ended = 0
    for (const [json, choices] of [
      [person, a],
      [tree, b],
      ["object", c],
    ] as const) {
      for (const { message, finish_reason } of choices ?? []) {
        if (finish_reason !== "stop") continue
        ended++
        t.ok(keeps(json, String(message.content)), String(message.content))
      }
    }
    t.ok(ended > 0, `${ended} ended`)
    await t.rejects(whole(format({ type: "string", pattern: "a" }), 1), {
      status: 400,
      param: "response_format",
      message: /response_format: #: "pattern" is not kept to/,
    })
    await t.rejects(whole({ type: "xml" }, 1), {
      status: 400,
      message: /expected "text", "json_obj/,
    })
    await t.rejects(whole({ type: "json_schema" }, 1), { status: 400, message: /has no schema/ })
    await service.close()
    await close()
  })
})

t.test("elm generate --schema and --json-object", async (t) => {
  const folder = t.testdir({ "s.json": JSON.stringify(tree), "bad.json": "[1]" })
  const at = join(folder, "tiny")
  await withTiny((model) => model.save(at))
  writeFileSync(join(folder, "worse.json"), "{")
  const line = ["generate", "a", "--model", at, "--max-new-tokens", "200", "--seed", "1"]
  const schema = (file: string) => [...line, "--schema", join(folder, file)]
  const [good, list, worse, both, object] = await endsOf([
    schema("s.json"),
    schema("bad.json"),
    schema("worse.json"),
    [...schema("s.json"), "--json-object"],
    [...line, "--json-object", "--max-new-tokens", "3"],
  ])
  t.equal(good?.code, 0, String(good?.stderr))
  t.ok(keeps(tree, String(good?.stdout).trim().slice(1)), good?.stdout ?? "")
  t.match(list?.stderr, /bad.json holds .*, expected a JSON schema/)
  t.match(worse?.stderr, /worse.json/)
  t.match(both?.stderr, /--json-object is what --schema says/)
  t.match(object?.stdout, /^a\s*\{?/)
})
