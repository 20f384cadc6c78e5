// `elm bench serve`: a model behind its socket, and clients that stream from it all the time, some of which
// leave amid an answer. What each waits for, and what all together get.
import type { Backend } from "../../engine/index.ts"
import {
  type CacheDType,
  type LanguageModel,
  OpenELM,
  publishedConfig,
  type WeightDType,
} from "../../model/index.ts"
import { createService, listen } from "../../serve/index.ts"
import type { Report } from "./report.ts"

interface ServingLoad {
  /** Clients at a time, one level after the other. */
  readonly clients: readonly number[]
  /** Of each level. */
  readonly seconds: number
  /** Part of the streams that are left after some tokens. */
  readonly leaving: number
}

interface ServingBench extends ServingLoad {
  readonly model: string
  readonly dtype: WeightDType
  readonly cache: CacheDType
  readonly prompt: number
  readonly generate: number
  readonly places: number
}

/** What half, and nineteen of twenty, wait for at most. */
interface Waits {
  readonly p50: number
  readonly p95: number
}

export interface ServingRow {
  readonly clients: number
  /** Streams that came to their end, and that were left. */
  readonly whole: number
  readonly left: number
  readonly tokensPerSecond: number
  /** To the first level. */
  readonly ratio: number
  readonly firstMs: Waits
  readonly betweenMs: Waits
  /** Of the process, when the level had just begun and when it ended. */
  readonly rssBytes: readonly [number, number]
}

/** What a client asks for, and what it is told of a stream. */
interface Asking {
  /** The body of a request for /v1/completions. */
  body(n: number): object
  /** A stream has ended, or was left: the texts of its events. */
  onStream?(n: number, texts: readonly string[], isWhole: boolean): void
}

export async function benchServing(
  backend: Backend,
  { model: name, dtype, cache, prompt, generate, places, ...load }: ServingBench,
  report: Report,
): Promise<ServingRow[]> {
  const config = publishedConfig(name)
  const capacity = Math.min(config.maxContext, prompt + generate)
  await using model = await OpenELM.random(config, { backend, dtype, cache, capacity })
  const body = (n: number): object => ({
    model: config.name,
    prompt: Array.from({ length: prompt }, (_, i) => (31 * n + 7 * i * i + i) % config.vocabSize),
    ...{ max_tokens: generate, temperature: 1, seed: n, ignore_eos: true },
  })
  return await driveService(
    model,
    { places, queue: Math.max(64, ...load.clients) },
    load,
    { body },
    report,
  )
}

/** Streams from a service of a model, level after level. */
export async function driveService(
  model: LanguageModel,
  options: { readonly places: number; readonly queue: number },
  { clients, seconds, leaving }: ServingLoad,
  asking: Asking,
  report: Report,
): Promise<ServingRow[]> {
  const service = createService(model, options)
  await service.warm()
  const { url, close } = await listen(service, { port: 0 })
  const rows: ServingRow[] = []
  try {
    for (const count of clients) {
      report(`${count} clients`, rows.length / clients.length)
      const level = new Level(url, seconds, leaving, asking)
      const row = await level.run(count)
      rows.push({ ...row, ratio: row.tokensPerSecond / (rows[0] ?? row).tokensPerSecond })
    }
  } finally {
    await service.close()
    await close()
  }
  return rows
}

/** So many clients for so long. */
class Level {
  readonly #url: string
  readonly #seconds: number
  readonly #leaving: number
  readonly #asking: Asking
  readonly #first: number[] = []
  readonly #between: number[] = []
  #asked = 0
  #tokens = 0
  #whole = 0
  #left = 0

  constructor(url: string, seconds: number, leaving: number, asking: Asking) {
    this.#url = url
    this.#seconds = seconds
    this.#leaving = leaving
    this.#asking = asking
  }

  async run(clients: number): Promise<Omit<ServingRow, "ratio">> {
    const start = performance.now()
    const end = start + 1000 * this.#seconds
    const begun = new Promise<number>((resolve) =>
      setTimeout(() => resolve(process.memoryUsage.rss()), 250 * this.#seconds),
    )
    await Promise.all(Array.from({ length: clients }, () => this.#client(end)))
    const elapsed = (performance.now() - start) / 1000
    return {
      clients,
      whole: this.#whole,
      left: this.#left,
      tokensPerSecond: this.#tokens / elapsed,
      firstMs: waitsOf(this.#first),
      betweenMs: waitsOf(this.#between),
      rssBytes: [await begun, process.memoryUsage.rss()],
    }
  }

  async #client(end: number): Promise<void> {
    while (performance.now() < end) {
      const n = this.#asked++
      // Without a generator of its own: which of them leave is the same each time.
      const leaves = (n * 0.618034) % 1 < this.#leaving ? 1 + ((7 * n) % 12) : undefined
      await this.#stream(n, leaves)
    }
  }

  /** One stream, to its end or for so many events. */
  async #stream(n: number, leaves = Number.POSITIVE_INFINITY): Promise<void> {
    const began = performance.now()
    const body = JSON.stringify({ ...this.#asking.body(n), stream: true })
    const leave = new AbortController()
    const response = await fetch(`${this.#url}/v1/completions`, {
      ...{ method: "POST", body, signal: leave.signal },
      headers: { "content-type": "application/json" },
    })
    if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`)
    const texts: string[] = []
    let last = began
    for await (const data of eventsOf(response)) {
      const [choice] = data.choices
      if (!choice || choice.finish_reason !== null) continue
      const now = performance.now()
      ;(texts.length === 0 ? this.#first : this.#between).push(now - last)
      last = now
      texts.push(choice.text)
      this.#tokens++
      if (texts.length === leaves) break
    }
    const isWhole = texts.length < leaves
    if (isWhole) this.#whole++
    else {
      leave.abort()
      this.#left++
    }
    this.#asking.onStream?.(n, texts, isWhole)
  }
}

interface Event {
  readonly choices: readonly { readonly text: string; readonly finish_reason: string | null }[]
}

async function* eventsOf(response: Response): AsyncGenerator<Event, void, undefined> {
  const decoder = new TextDecoder()
  let rest = ""
  for await (const part of response.body as ReadableStream<Uint8Array>) {
    rest += decoder.decode(part, { stream: true })
    const events = rest.split("\n\n")
    rest = events.pop() as string
    for (const event of events) {
      const data = event.slice("data: ".length)
      if (data === "[DONE]") return
      const value = JSON.parse(data) as Event & { readonly error?: { readonly message: string } }
      if (value.error) throw new Error(value.error.message)
      yield value
    }
  }
  throw new Error("the stream broke off")
}

function waitsOf(times: number[]): Waits {
  times.sort((a, b) => a - b)
  const at = (part: number): number => times[Math.floor(part * (times.length - 1))] ?? Number.NaN
  return { p50: at(0.5), p95: at(0.95) }
}
