// What clients of the OpenAI protocol send beside the usual: nulls, empty lists, other origins, methods and paths
// of all kinds; and what tokens that are part of a character are told by.
import OpenAI from "openai"
import { createService, listen, OpenELM, open, shippedModel } from "../index.ts"
import t, { type Test } from "./tap.ts"

const backend = await open("wasm", { threads: 2 })
const model = await OpenELM.load(await shippedModel(), { backend, capacity: 256 })
t.teardown(async () => {
  await model.close()
  backend.close()
})

type Options = NonNullable<Parameters<typeof createService>[1]>

/** A service without a socket. */
function made(t: Test, options: Options = {}) {
  const service = createService(model, { name: "m", ...options })
  t.teardown(() => service.close())
  const ask = (path: string, init: RequestInit = {}) =>
    service.fetch(new Request(`http://page${path}`, init))
  const post = async (path: string, body: unknown, headers: Record<string, string> = {}) => {
    const text = typeof body === "string" ? body : JSON.stringify(body)
    const init = { method: "POST", body: text, headers }
    const response = await ask(`/v1/${path}`, init)
    return [response.status, (await response.json()) as Answer] as const
  }
  return { service, ask, post }
}

interface Answer {
  readonly choices: readonly (OpenAI.CompletionChoice & OpenAI.ChatCompletion.Choice)[]
  readonly usage: OpenAI.CompletionUsage
  readonly error: { readonly message: string; readonly param: string | null; readonly code: string }
}

const greedy = { model: "m", temperature: 0, max_tokens: 3 }

t.test("answers come back as they were given: null says that there is nothing", async (t) => {
  const { post } = made(t)
  const messages = [
    { role: "user", content: "Who is she?", name: null },
    { role: "assistant", content: "She is", refusal: null, tool_calls: null, annotations: [] },
    { role: "assistant", content: null },
    { role: "user", content: "x" },
  ]
  const json_schema = { name: "x", description: null, strict: null, schema: { const: 1 } }
  for (const more of [
    {},
    { stream_options: { include_usage: null }, tools: null, stop: null, logit_bias: null },
    { response_format: { type: "text", json_schema: null } },
    { response_format: { type: "json_schema", json_schema }, max_tokens: 40 },
  ]) {
    const [status, { choices, error }] = await post("chat/completions", {
      ...greedy,
      messages,
      ...more,
    })
    t.equal(status, 200, error?.message)
    t.equal(choices.length, 1)
  }
  const none = { ...greedy, prompt: "It is", stop: [], suffix: "", top_k: -1 }
  t.equal((await post("completions", none))[0], 200)
})

t.test("no stop texts leave the end of text, unless that is ignored", async (t) => {
  const { post } = made(t)
  const { eosId = -1 } = model.tokenizer ?? {}
  const ended = { ...greedy, prompt: "It is", logit_bias: { [eosId]: 100 } }
  const [, { choices, usage }] = await post("completions", { ...ended, stop: [] })
  t.match(choices[0], { text: "", finish_reason: "stop" })
  t.equal(usage.completion_tokens, 1)
  const [, ignored] = await post("completions", { ...ended, ignore_eos: true })
  t.match(ignored.choices[0], { finish_reason: "length" })
  t.equal(ignored.usage.completion_tokens, 3)
  const [status, { error }] = await post("completions", { ...ended, ignore_eos: true, stop: "a" })
  t.same([status, error.param], [400, "ignore_eos"])
})

t.test("a field that cannot be is named, whoever refuses it", async (t) => {
  const { post } = made(t)
  const wrong: readonly (readonly [object, string])[] = [
    [{ temperature: 1e-50 }, "temperature"],
    [{ top_p: 1e-300 }, "top_p"],
    [{ stop: "" }, "stop"],
    [{ stop: ["a", "b", "c", "d", "e"] }, "stop"],
    [{ logit_bias: { 99999: 1 } }, "logit_bias"],
    [{ logit_bias: { a: 1 } }, "logit_bias.a"],
    [{ logit_bias: { " 5": 1 } }, "logit_bias. 5"],
    [{ model: { toString: 1 } }, "model"],
  ]
  for (const [field, param] of wrong) {
    const [status, { error }] = await post("completions", {
      ...greedy,
      prompt: "It is",
      ...field,
    })
    t.same([status, error.param], [400, param], error.message)
    t.notMatch(error.message, /generate|topP|logitBias/)
  }
  const chat = { ...greedy, messages: [{ role: "user", content: "x" }] }
  for (const [field, param] of [
    [{ modalities: ["text", "audio"] }, "modalities"],
    [{ tool_choice: "required" }, "tool_choice"],
    [{ messages: [null] }, "messages[0]"],
    [{ messages: [{ role: "user", content: "x", tool_calls: 1 }] }, "messages[0].tool_calls"],
  ] as const) {
    const [status, { error }] = await post("chat/completions", { ...chat, ...field })
    t.same([status, error.param], [400, param], error.message)
    t.notMatch(error.message, /Invalid type/)
  }
  const deep = `{"model":"m","prompt":"\\"[[","x":${"[".repeat(9999)}${"]".repeat(9999)}}`
  const [status, { error }] = await post("completions", deep)
  t.equal(status, 400)
  t.match(error.message, /nested deeper than 200 levels/)
})

t.test(
  "tokens that are part of a character have their own bytes, and each its own likelihood",
  async (t) => {
    const { post } = made(t)
    const ids = model.tokenizer?.encode("é€😀") ?? []
    const told = { ...greedy, max_tokens: 0, prompt: [1, ...ids], echo: true, logprobs: 5 }
    const [, { choices }] = await post("completions", told)
    t.equal(choices[0]?.text, "é€😀")
    const { logprobs } = choices[0] as OpenAI.CompletionChoice
    const { top_logprobs = [], token_logprobs = [], tokens = [] } = logprobs ?? {}
    for (const [i, top] of top_logprobs.entries()) {
      if (i === 0) continue
      const told = top[tokens[i] as string] ?? Number.NEGATIVE_INFINITY
      t.ok(
        told >= (token_logprobs[i] as number),
        "it is among them, as the likeliest that reads so",
      )
    }
    t.equal(top_logprobs.length, ids.length + 1)
    // Bytes one after the other, by a bias that nothing else stands against.
    const content = [{ role: "user", content: "x" }]
    const chat = { ...greedy, messages: content, logprobs: true, top_logprobs: 1, max_tokens: 1 }
    const bytes: number[] = []
    for (const id of ids.slice(-4)) {
      const [, answer] = await post("chat/completions", { ...chat, logit_bias: { [id]: 100 } })
      const [one] = (answer.choices[0] as OpenAI.ChatCompletion.Choice).logprobs?.content ?? []
      bytes.push(...(one?.bytes ?? []))
    }
    t.equal(Buffer.from(bytes).toString(), "😀")
  },
)

t.test("methods and paths", async (t) => {
  const { ask } = made(t)
  const said = async (method: string, path: string) => {
    const response = await ask(path, { method })
    return [response.status, response.headers.get("allow")]
  }
  for (const path of ["/", "/health", "/metrics", "/v1/models", "/v1/models/m"]) {
    t.same(await said("HEAD", path), [200, null], path)
    t.same(await said("DELETE", path), [405, "GET, HEAD, OPTIONS"], path)
    t.same(await said("OPTIONS", path), [204, null], path)
  }
  t.same(await said("GET", "/v1/completions"), [405, "POST, OPTIONS"])
  for (const path of ["/v1/models/%", "/v1/models/..%2f..%2fetc%2fpasswd", "/v1/modelsm", "//"]) {
    t.equal((await said("GET", path))[0], 404, path)
  }
})

t.test("pages of other origins", async (t) => {
  const { ask, post } = made(t, { cors: ["http://a.test"] })
  const asks = "authorization,content-type,x-stainless-os,x-stainless-arch"
  const headers = { origin: "http://a.test", "access-control-request-headers": asks }
  const before = await ask("/v1/completions", { method: "OPTIONS", headers })
  t.equal(before.headers.get("access-control-allow-headers"), asks, "what openai's client sends")
  t.match(before.headers.get("vary"), /origin/)
  t.match((await ask("/health")).headers.get("vary"), /origin/)
  const from = (origin: string, site: string) =>
    post("completions", { ...greedy, prompt: "a" }, { origin, "sec-fetch-site": site })
  t.equal((await from("http://a.test", "cross-site"))[0], 200)
  t.equal((await from("http://page", "same-origin"))[0], 200)
  const [status, { error }] = await from("http://b.test", "cross-site")
  t.same([status, error.code], [403, "origin_not_allowed"])
  t.match(error.message, /pages of http:\/\/b\.test may not ask here/)
})

t.test("pages under a name that was made to lead here", async (t) => {
  const { post } = made(t, { cors: ["http://a.test"] })
  const keyed = made(t, { apiKeys: ["k"] })
  const asked = { ...greedy, prompt: "a" }
  // Without sec-fetch-site, as browsers ask an address that no certificate vouches for.
  const from = async (origin: string, host: string) =>
    (await post("completions", asked, { origin, host }))[0]
  for (const own of [
    "127.0.0.1:8080",
    "[::1]:8080",
    "localhost:8080",
    "me.localhost",
    "10.0.0.7",
  ]) {
    t.equal(await from(`http://${own}`, own), 200, own)
  }
  t.equal(await from("http://rebound.test:8080", "rebound.test:8080"), 403)
  t.equal(await from("http://127.0.0.1.rebound.test", "127.0.0.1.rebound.test"), 403)
  t.equal(await from("http://localhost:3000", "localhost:8080"), 403, "another port's page")
  t.equal(await from("null", "localhost:8080"), 403)
  t.equal(await from("http://a.test", "a.test"), 200, "one that is let in")
  const headers = { origin: "http://b.test", host: "b.test", authorization: "Bearer k" }
  t.equal((await keyed.post("completions", asked, headers))[0], 200, "and who has a key")
})

t.test("keys and origins are lists of texts", async (t) => {
  const lists = ["secret", [""], [" "], [1], {}] as never[]
  for (const list of lists) {
    t.throws(() => createService(model, { apiKeys: list }), /apiKeys must be a list of texts/)
    t.throws(() => createService(model, { cors: list }), /cors must be a list of texts/)
  }
  const most = 2147483
  t.throws(() => createService(model, { timeoutSeconds: most + 1 }), /from 1 to 2147483/)
  const { post } = made(t, { timeoutSeconds: most })
  t.equal((await post("completions", { ...greedy, prompt: "a" }))[0], 200)
})

/** A line of Prometheus' text format: a comment of a metric, or a sample. */
const sign = String.raw`(?:[^"\\\n]|\\["\\n])`
const label = `[a-zA-Z_][a-zA-Z0-9_]*="${sign}*"`
const sample = `[a-zA-Z_:][a-zA-Z0-9_:]*(?:\\{${label}(?:,${label})*\\})? -?(?:[0-9.e+-]+|\\+Inf|NaN)`
const line = new RegExp(`^(?:# HELP \\S+ .+|# TYPE \\S+ (?:counter|gauge|histogram)|${sample})$`)

t.test("metrics are in Prometheus' text format, whatever the model is called", async (t) => {
  const name = 'a"b\\c\nd\te'
  const { ask, post } = made(t, { name })
  t.equal((await post("completions", { ...greedy, model: name, prompt: "a" }))[0], 200)
  const text = await (await ask("/metrics")).text()
  t.ok(text.endsWith("\n"))
  const lines = text.slice(0, -1).split("\n")
  for (const each of lines) t.match(each, line)
  const counted = String.raw`elm_generated_tokens_total{model="a\"b\\c\nd${"\t"}e"} 3`
  t.ok(lines.includes(counted))
  const counts = lines.flatMap(
    (each) => /_first_token_seconds_bucket\S+ (\d+)/.exec(each)?.[1] ?? [],
  )
  t.same(
    counts,
    counts.toSorted((a, b) => Number(a) - Number(b)),
    "buckets are cumulative",
  )
  t.equal(counts.at(-1), "1")
})

t.test("a path that begins with two slashes names no host", async (t) => {
  const { service } = made(t)
  const { url, close } = await listen(service, { port: 0 })
  t.teardown(close)
  const client = new OpenAI({ baseURL: `${url}//v1`, apiKey: "key", maxRetries: 0 })
  await t.rejects(client.models.list(), { status: 404, message: /\/\/v1\/models/ })
})
