// How requests end that do not come to their own: clients that leave, stall or never send, a server that closes,
// and texts that are read beside the batch.
import { Agent, request } from "node:http"
import { connect } from "node:net"
import type OpenAI from "openai"
import { createService, listen, OpenELM, open, type Service, shippedModel } from "../index.ts"
import t, { type Test } from "./tap.ts"

const backend = await open("wasm", { threads: 2 })
const model = await OpenELM.load(await shippedModel(), { backend, capacity: 256 })
t.teardown(async () => {
  await model.close()
  backend.close()
})

const asked = { model: "m", prompt: "It is", max_tokens: 60, temperature: 0, ignore_eos: true }

function made(t: Test, options: NonNullable<Parameters<typeof createService>[1]> = {}): Service {
  const service = createService(model, { name: "m", ...options })
  t.teardown(() => service.close({ now: true }))
  return service
}

const post = (service: Service, path: string, body: object, signal?: AbortSignal) => {
  const init = { method: "POST", body: JSON.stringify(body), ...(signal ? { signal } : {}) }
  return service.fetch(new Request(`http://page/v1/${path}`, init))
}

async function metric(service: Service, name: string): Promise<number> {
  const text = await (await service.fetch(new Request("http://page/metrics"))).text()
  return Number(new RegExp(`^${name}(?:\\{[^\\n]*\\})? (\\S+)$`, "m").exec(text)?.[1] ?? Number.NaN)
}

/** The status of a response that is read to its end. */
const statusOf = async (response: Promise<Response>): Promise<number> => {
  const told = await response
  await told.text()
  return told.status
}

/** Waits until so many requests are in the batch. */
async function inBatch(service: Service, count: number): Promise<void> {
  while ((await metric(service, "elm_batch_size")) !== count) {
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
}

t.test("an end waits for whole answers as for streams, and for those in line", async (t) => {
  const service = made(t, { places: 1 })
  const all = [1, 2, 3].map(() => post(service, "completions", asked))
  await inBatch(service, 1)
  const closing = service.close()
  for (const response of await Promise.all(all)) {
    const { usage } = (await response.json()) as OpenAI.Completion
    t.same([response.status, usage?.completion_tokens], [200, 60])
  }
  await closing
  const late = await post(service, "completions", asked)
  t.equal(late.status, 503)
})

t.test("who leaves amid a stream leaves no rejection behind", async (t) => {
  const service = made(t)
  const unheard: unknown[] = []
  const hear = (error: unknown): void => void unheard.push(error)
  process.on("unhandledRejection", hear)
  t.teardown(() => process.off("unhandledRejection", hear))
  for (let i = 0; i < 12; i++) {
    const control = new AbortController()
    const body = { ...asked, stream: true, n: 1 + (i % 3) }
    const { body: stream } = await post(service, "completions", body, control.signal)
    for (let turns = 0; turns < i; turns++) await new Promise((resolve) => setImmediate(resolve))
    control.abort()
    await inBatch(service, 0)
    await stream?.cancel()
  }
  await new Promise((resolve) => setTimeout(resolve, 1))
  t.same(unheard, [])
})

t.test("who leaves before the answer is no error of the server's", async (t) => {
  const service = made(t)
  const control = new AbortController()
  const answer = post(service, "completions", asked, control.signal)
  await inBatch(service, 1)
  control.abort()
  t.equal((await answer).status, 499)
  await inBatch(service, 0)
  const text = await (await service.fetch(new Request("http://page/metrics"))).text()
  t.match(text, /elm_requests_total\{path="\/v1\/completions",status="499"\} 1\n/)
})

t.test(
  "a body that never comes to its end is waited for as long as a request may take",
  async (t) => {
    const { url, close } = await listen(made(t, { timeoutSeconds: 1 }), { port: 0 })
    t.teardown(close)
    const socket = connect(Number(new URL(url).port), "127.0.0.1")
    const ended = new Promise<string>((resolve) => {
      let text = ""
      socket.on("data", (data) => {
        text += data
      })
      socket.on("close", () => resolve(text))
    })
    socket.write("POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{")
    const text = await ended
    t.match(text, /^HTTP\/1\.1 408 /)
    t.match(text, /x-should-retry: false/)
    t.match(text, /"code":"timeout"/)
  },
)

t.test("a client that takes nothing of an answer has left", async (t) => {
  let left = (_reason: unknown): void => undefined
  const hasLeft = new Promise((resolve) => {
    left = resolve
  })
  const endless = new ReadableStream({
    pull: (controller) => controller.enqueue(new Uint8Array(1 << 20)),
    cancel: (reason) => left(reason),
  })
  const service = { fetch: async () => new Response(endless) } as unknown as Service
  const { url, close } = await listen(service, { port: 0, stalledSeconds: 1 })
  const socket = connect(Number(new URL(url).port), "127.0.0.1").pause()
  socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
  socket.on("error", () => undefined)
  await new Promise((resolve) => setTimeout(resolve, 100))
  await close()
  await hasLeft
  t.pass("neither the end nor the service has waited for it")
  socket.destroy()
})

t.test("an answer that fails in its middle does not end as a whole one does", async (t) => {
  let isFirst = true
  const broken = new ReadableStream({
    pull(controller) {
      if (!isFirst) throw new Error("the disk is gone")
      isFirst = false
      controller.enqueue(new TextEncoder().encode("part"))
    },
  })
  const service = { fetch: async () => new Response(broken) } as unknown as Service
  const { url, close } = await listen(service, { port: 0 })
  t.teardown(close)
  await t.rejects(async () => (await fetch(url)).text())
})

t.test("a connection that is kept does not hold the end up", async (t) => {
  const service = made(t)
  const { url, close } = await listen(service, { port: 0 })
  const agent = new Agent({ keepAlive: true })
  t.teardown(() => agent.destroy())
  const answer = new Promise<number | undefined>((resolve, reject) => {
    const sent = request(`${url}/v1/completions`, { method: "POST", agent }, (response) => {
      response.resume()
      response.on("end", () => resolve(response.statusCode))
    })
    sent.on("error", reject)
    sent.end(JSON.stringify(asked))
  })
  await inBatch(service, 1)
  const closed = Promise.all([service.close(), close()])
  t.equal(await answer, 200)
  const late = new Promise((resolve) => setTimeout(resolve, 4000, "late").unref())
  t.not(await Promise.race([closed, late]), "late", "Node keeps connections for 5 s")
})

t.test("texts beside the batch: one after another, and no more wait than may", async (t) => {
  const service = made(t, { queue: 2 })
  const input = Array.from({ length: 8 }, () =>
    "It is a truth universally acknowledged. ".repeat(9),
  )
  const all = [1, 2, 3, 4, 5].map(() => post(service, "embeddings", { model: "m", input }))
  const statuses = all.map(statusOf)
  t.same(await Promise.all(statuses), [200, 200, 200, 429, 429])
  const control = new AbortController()
  const [first, second] = [undefined, control.signal].map((signal) =>
    statusOf(post(service, "embeddings", { model: "m", input }, signal)),
  )
  control.abort()
  t.same(await Promise.all([first, second]), [200, 499])
  const echoes = { ...asked, max_tokens: 0, echo: true, logprobs: 1, prompt: input }
  const leaving = new AbortController()
  const left = statusOf(post(service, "completions", echoes, leaving.signal))
  setImmediate(() => leaving.abort())
  t.equal(await left, 499)
  const many = { ...echoes, prompt: Array.from({ length: 2000 }, () => [1]) }
  t.equal(await statusOf(post(service, "completions", many)), 400)
})
