// The OpenAI protocol as its clients speak it: openai's own package, the AI SDK's, and requests by hand.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
import OpenAI from "openai"
import { addAdapter, createService, listen, OpenELM, open, shippedModel } from "../index.ts"
import t, { type Test } from "./tap.ts"

const backend = await open("wasm", { threads: 2 })
const model = await OpenELM.load(await shippedModel(), { backend, capacity: 256 })
const adapter = await addAdapter(model, { rank: 2, alpha: 64, seed: 3 })
for (const tensor of adapter.tensors.values()) {
  const x = Float32Array.from({ length: tensor.size }, (_, i) => Math.sin(i) / 8)
  if (tensor.origin.kind === "bound") backend.write(tensor.origin.buffer, x, tensor.origin.offset)
}
model.adapter = undefined
t.teardown(async () => {
  await model.close()
  backend.close()
})

type Options = NonNullable<Parameters<typeof createService>[1]>

async function served(t: Test, options: Options = {}) {
  const service = createService(model, { name: "m", ...options })
  const listening = await listen(service, { port: 0 })
  t.teardown(async () => {
    await service.close()
    await listening.close()
  })
  const { url } = listening
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "key", maxRetries: 0 })
  return { service, url, client }
}

const greedy = { model: "m", temperature: 0 } as const
const prompt = "It is a truth universally acknowledged"

t.test("openai: completions, whole and as a stream, are what the model says", async (t) => {
  const { client } = await served(t)
  const options = { maxNewTokens: 12, stop: [" the"] }
  const own = await model.complete(prompt, options)
  const asked = { ...greedy, prompt, max_tokens: 12, stop: " the" }
  const whole = await client.completions.create(asked)
  t.equal(whole.object, "text_completion")
  t.match(whole.choices[0], {
    text: own.text,
    index: 0,
    finish_reason: own.finishReason,
    logprobs: null,
  })
  t.equal(whole.usage?.prompt_tokens, own.usage.promptTokens)
  t.equal(whole.usage?.completion_tokens, own.usage.completionTokens)
  const stream = await client.completions.create({
    ...asked,
    ...{ stream: true, stream_options: { include_usage: true } },
  })
  const texts: string[] = []
  let [usage, finish]: [number | undefined, string | null | undefined] = [undefined, undefined]
  for await (const { choices, usage: told } of stream) {
    texts.push(choices[0]?.text ?? "")
    finish = choices[0]?.finish_reason ?? finish
    usage = told?.completion_tokens ?? usage
  }
  t.equal(texts.join(""), own.text)
  t.same([usage, finish], [own.usage.completionTokens, own.finishReason])
})

t.test("openai: several prompts and choices, by number; ids; the seed decides", async (t) => {
  const { client } = await served(t)
  const ids = [
    [1, 5, 9],
    [1, 5, 9, 20],
  ]
  const asked = {
    model: "m",
    prompt: ids,
    n: 2,
    max_tokens: 6,
    temperature: 1,
    seed: 5,
    ignore_eos: true,
  }
  const { choices } = await client.completions.create(asked)
  const own = await Promise.all(
    ids.flatMap((ids) =>
      [5, 6].map((seed) => model.complete(ids, { maxNewTokens: 6, temperature: 1, seed })),
    ),
  )
  t.same(
    choices.map(({ index, text }) => [index, text]),
    own.map(({ text }, i) => [i, text]),
  )
  t.same((await client.completions.create(asked)).choices, choices)
})

t.test("openai: echo with log-probabilities scores a text, as evaluators ask", async (t) => {
  const { client } = await served(t)
  const { choices } = await client.completions.create({
    ...greedy,
    ...{ prompt, max_tokens: 0, echo: true, logprobs: 1 },
  })
  const { logProbabilities, ids } = await model.score(prompt)
  const [{ text, logprobs }] = choices as [(typeof choices)[0]]
  t.equal(text, prompt)
  t.equal(logprobs?.tokens?.length, ids.length)
  t.equal(logprobs?.token_logprobs?.[0], null)
  for (const [i, p] of logProbabilities.entries()) {
    t.ok(Math.abs((logprobs?.token_logprobs?.[i + 1] as number) - p) < 1e-4)
  }
  const offsets = logprobs?.text_offset as number[]
  t.ok(offsets.every((at, i) => at >= (offsets[i - 1] ?? 0) && at <= prompt.length))
  const best = await client.completions.create({
    model: "m",
    prompt,
    max_tokens: 4,
    n: 1,
    best_of: 3,
    seed: 1,
    temperature: 1.5,
  })
  t.equal(best.choices.length, 1)
  t.equal(best.usage?.completion_tokens, 12)
})

t.test("openai: a conversation, whole, as a stream, with log-probabilities", async (t) => {
  const { client } = await served(t)
  const messages: OpenAI.ChatCompletionMessageParam[] = [
    { role: "system", content: "Be brief." },
    { role: "user", content: [{ type: "text", text: "Who is she?" }] },
  ]
  const own = await model.completeChat(
    [
      { role: "system", content: "Be brief." },
      { role: "user", content: "Who is she?" },
    ],
    { maxNewTokens: 8 },
  )
  const asked = { ...greedy, messages, max_completion_tokens: 8 }
  const whole = await client.chat.completions.create({ ...asked, logprobs: true, top_logprobs: 2 })
  t.equal(whole.choices[0]?.message.content, own.text)
  const content = whole.choices[0]?.logprobs?.content ?? []
  t.equal(content.length, own.ids.length)
  t.ok(
    content.every(
      ({ logprob, top_logprobs: [best, second] }) =>
        best?.logprob === logprob && (second?.logprob ?? 0) <= logprob,
    ),
  )
  const stream = client.chat.completions.stream({ ...asked, stream: true })
  t.equal(await stream.finalContent(), own.text)
})

t.test("openai: vectors, in both encodings; models; adapters by name", async (t) => {
  const { client } = await served(t, { adapters: { tuned: adapter } })
  const input = ["one text", "another"]
  const own = await model.embed(input, { normalize: true })
  for (const encoding_format of ["float", "base64"] as const) {
    const { data } = await client.embeddings.create({ model: "m", input, encoding_format })
    const raw = data as unknown as { embedding: number[] | string }[]
    for (const [i, { embedding }] of raw.entries()) {
      const x =
        typeof embedding === "string"
          ? new Float32Array(Uint8Array.from(Buffer.from(embedding, "base64")).buffer)
          : embedding
      t.same([...x].map(Math.fround), [...(own[i] as Float32Array)])
    }
  }
  const names = (await client.models.list()).data.map(({ id }) => id)
  t.same(names, ["m", "tuned"])
  t.equal((await client.models.retrieve("tuned")).id, "tuned")
  const asked = { prompt, max_tokens: 10, temperature: 0, ignore_eos: true }
  const [plain, tuned] = await Promise.all(
    names.map((model) => client.completions.create({ model, ...asked })),
  )
  const through = await model.complete(prompt, { maxNewTokens: 10, adapter })
  t.equal(tuned?.choices[0]?.text, through.text)
  t.not(plain?.choices[0]?.text, through.text)
})

t.test("the AI SDK's client: generation and stream", async (t) => {
  const { url } = await served(t)
  const provider = createOpenAICompatible({ name: "elm", baseURL: `${url}/v1`, includeUsage: true })
  const call = {
    prompt: [{ role: "user" as const, content: [{ type: "text" as const, text: "Who is she?" }] }],
    ...{ maxOutputTokens: 8, temperature: 0 },
  }
  const own = await model.completeChat([{ role: "user", content: "Who is she?" }], {
    maxNewTokens: 8,
  })
  const { content } = await provider.chatModel("m").doGenerate(call)
  t.match(content[0], { type: "text", text: own.text })
  const { stream } = await provider.chatModel("m").doStream(call)
  let text = ""
  for await (const part of stream) if (part.type === "text-delta") text += part.delta
  t.equal(text, own.text)
})

t.test("what is refused says which field, and what was expected", async (t) => {
  const { client, url } = await served(t, { maxNewTokens: 50, maxBodyBytes: 2000 })
  const refused = async (body: object, status: number, message: RegExp, path = "completions") => {
    const response = await fetch(`${url}/v1/${path}`, {
      method: "POST",
      body: JSON.stringify(body),
    })
    t.equal(response.status, status, message.source)
    const { error } = (await response.json()) as { error: Record<string, unknown> }
    t.match(error.message, message)
    t.same(Object.keys(error), ["message", "type", "param", "code"])
    return error.code
  }
  const ask = { model: "m", prompt }
  await refused({ prompt }, 400, /^model: is missing/)
  await refused({ ...ask, model: "x" }, 404, /no model "x" here. There is m/)
  await refused({ model: "m" }, 400, /^prompt: is missing/)
  await refused(
    { ...ask, temperature: 3 },
    400,
    /^temperature: is 3, expected a number from 0 to 2/,
  )
  await refused({ ...ask, max_token: 3 }, 400, /^max_token: is not supported/)
  await refused(
    { ...ask, max_tokens: 51 },
    400,
    /^max_tokens: is 51, and this server gives at most 50/,
  )
  await refused({ ...ask, prompt: [5000] }, 400, /5000/)
  const long = { ...ask, prompt: Array(250).fill(5), max_tokens: 20 }
  t.equal(await refused(long, 400, /exceed the cache of 256/), "context_length_exceeded")
  const longest = { ...ask, prompt: Array(256).fill(5) }
  t.equal(await refused(longest, 400, /leave no room/), "context_length_exceeded")
  const none = { model: "m", input: [[]] }
  t.equal(await refused(none, 400, /no tokens/, "embeddings"), null, "too short is not too long")
  await refused({ ...ask, stop: [""] }, 400, /empty text/)
  await refused({ ...ask, logit_bias: { 99999: 1 } }, 400, /99999/)
  const many = Array.from({ length: 80 }, () => [1])
  await refused({ ...ask, prompt: many }, 400, /80 answers at a time, of at most 72/)
  await refused({ ...ask, best_of: 2, n: 3 }, 400, /^best_of: is 2/)
  await refused({ ...ask, prompt: "x".repeat(2000) }, 413, /longer than 2000 bytes/)
  const chat = { model: "m", messages: [{ role: "user", content: "a" }] }
  await refused({ ...chat, tools: [{}] }, 400, /^tools: is not supported/, "chat/completions")
  await refused({ ...chat, messages: [] }, 400, /no messages/, "chat/completions")
  const image = [{ role: "user", content: [{ type: "image_url" }] }]
  await refused({ ...chat, messages: image }, 400, /a part is of "image_url"/, "chat/completions")
  await refused({ model: "m", input: [] }, 400, /^input: has 0 texts/, "embeddings")
  t.equal((await fetch(`${url}/v1/completions`)).status, 405)
  t.equal((await fetch(`${url}/v1/files`)).status, 404)
  t.equal((await fetch(`${url}/v1/completions`, { method: "POST", body: "{" })).status, 400)
  await t.rejects(client.completions.create({ model: "x", prompt }), {
    status: 404,
    code: "model_not_found",
  })
})

t.test("a request that takes too long is ended, and its place is free", async (t) => {
  const { client, service } = await served(t, { timeoutSeconds: 1, places: 1 })
  const slow = Array.from({ length: 60 }, (_, i) => [i + 1])
  const asked = { ...greedy, prompt: slow, max_tokens: 200, ignore_eos: true }
  await t.rejects(client.completions.create(asked), { status: 408, code: "timeout" })
  const metrics = await (await service.fetch(new Request("http://page/metrics"))).text()
  t.match(metrics, /elm_queue_length\{model="m"\} \d+\n/)
  t.equal((await client.completions.create({ ...greedy, prompt, max_tokens: 2 })).choices.length, 1)
})

t.test("keys, other origins, health, metrics, an end that waits", async (t) => {
  const { service, url } = await served(t, { apiKeys: ["one", "two"], cors: ["http://a.test"] })
  const at = (path: string, headers: Record<string, string> = {}) => fetch(url + path, { headers })
  t.equal((await at("/health")).status, 200)
  t.equal((await at("/v1/models")).status, 401)
  t.equal((await at("/v1/models", { authorization: "Bearer three" })).status, 401)
  const known = { authorization: "Bearer two" }
  t.equal((await at("/v1/models", known)).status, 200)
  const [own, other] = await Promise.all(
    ["http://a.test", "http://b.test"].map((origin) => at("/v1/models", { ...known, origin })),
  )
  t.equal(own?.headers.get("access-control-allow-origin"), "http://a.test")
  t.equal(other?.headers.get("access-control-allow-origin"), null)
  t.match(await (await at("/", known)).text(), /<!doctype html>/)
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "one", maxRetries: 0 })
  const asked = { ...greedy, prompt, max_tokens: 30, ignore_eos: true, stream: true } as const
  const stream = await client.completions.create(asked)
  const closing = service.close()
  let count = 0
  for await (const _ of stream) count++
  t.ok(count >= 30, "what is under way comes to its end")
  await closing
  t.equal((await at("/health")).status, 503)
  t.match(
    await (await at("/metrics", known)).text(),
    /elm_generated_tokens_total\{model="m"\} 30\n/,
  )
  await t.rejects(client.completions.create({ ...greedy, prompt }), { status: 503, code: null })
})
