// The OpenAI protocol over one model: a request in, a response out, and no socket, so that Node, Deno, Bun,
// a worker of a page and a test use the same.
import { checkObject, checkWhole } from "../engine/index.ts"
import { type Adapter, internals, LanguageModel, type Serving } from "../model/index.ts"
import { type Call, secondsNow } from "./call.ts"
import { chatCompletions } from "./chat.ts"
import { completions } from "./completions.ts"
import { embeddings } from "./embeddings.ts"
import { ApiError, apiError, errorResponse } from "./errors.ts"
import { isKnownKey } from "./keys.ts"
import { Metrics } from "./metrics.ts"
import { page } from "./page.ts"

/** How a model is served. */
export interface ServiceOptions {
  /** What requests call the model; default the name in its config. */
  readonly name?: string
  /** Adapters of the model by the names that requests call them. */
  readonly adapters?: Readonly<Record<string, Adapter>>
  /** Requests side by side in one batch; default 8. */
  readonly places?: number
  /** Requests that wait for a place, before others are refused (429); default 64. */
  readonly queue?: number
  /** Without one of these as bearer, nothing but /health is answered; default none is needed. */
  readonly apiKeys?: readonly string[]
  /** Origins whose pages may ask ("*": all); default none but the service's own. */
  readonly cors?: readonly string[]
  /** Most bytes of a body; default 1 MiB. */
  readonly maxBodyBytes?: number
  /** Most new tokens of an answer; default as many as fit. */
  readonly maxNewTokens?: number
  /** Seconds that a request may take; default 600. */
  readonly timeoutSeconds?: number
}

/** A model that answers requests. */
export interface Service {
  /** The response to a request of the OpenAI protocol. It never rejects. */
  fetch(request: Request): Promise<Response>
  /** Makes ready what the first requests would wait for. */
  warm(): Promise<void>
  /** Takes no more requests, and ends when those under way have ended; with `now`, these end with an
   *  error. The model is the caller's to close. */
  close(options?: { readonly now?: boolean }): Promise<void>
}

type Handler = (call: Call) => Promise<Response>

const handlers: Readonly<Record<string, Handler>> = {
  "/v1/completions": completions,
  "/v1/chat/completions": chatCompletions,
  "/v1/embeddings": embeddings,
}

const defaults = { maxBodyBytes: 2 ** 20, timeoutSeconds: 600 }

class ModelService implements Service {
  readonly #options: ServiceOptions
  readonly #created = secondsNow()
  readonly #all: ReadonlyMap<string, Serving>
  readonly #metrics = new Metrics()
  readonly #underWay = new Set<Promise<unknown>>()
  #isClosing = false

  constructor(model: LanguageModel, options: ServiceOptions) {
    const { name = model.config.name, adapters = {}, places, queue } = options
    const bounds = {
      ...(places !== undefined && { places }),
      ...(queue !== undefined && { queue }),
    }
    this.#options = options
    const own = Object.entries(adapters).filter(([other]) => other !== name)
    const named = adapters[name] ?? null
    const all = [[name, named] as const, ...own]
    const servings = internals(model).servings({
      ...bounds,
      adapters: all.map(([, adapter]) => adapter),
    })
    this.#all = new Map(all.map(([name], i) => [name, servings[i] as Serving]))
  }

  async warm(): Promise<void> {
    for (const serving of this.#all.values()) await serving.warm()
  }

  readonly fetch = async (request: Request): Promise<Response> => {
    const { pathname } = new URL(request.url)
    const response = await this.#answer(request, pathname).catch((error: unknown) =>
      errorResponse(apiError(error)),
    )
    this.#metrics.count(pathname in handlers ? pathname : "other", response.status)
    for (const [name, value] of Object.entries(this.#corsOf(request))) {
      response.headers.set(name, value)
    }
    return response
  }

  async close({ now = false } = {}): Promise<void> {
    this.#isClosing = true
    if (!now) while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay)
    for (const serving of this.#all.values()) await serving.close()
  }

  async #answer(request: Request, path: string): Promise<Response> {
    const { method } = request
    if (method === "OPTIONS") return new Response(null, { status: 204 })
    if (path === "/health") return this.#health()
    if (path === "/" && method === "GET") return page()
    await this.#checkKey(request)
    if (path === "/metrics" && method === "GET") {
      return new Response(this.#metrics.text(this.#all), {
        headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" },
      })
    }
    if (path.startsWith("/v1/models") && method === "GET") return this.#models(path)
    const handler = handlers[path]
    if (!handler)
      throw new ApiError(404, `there is no ${method} ${path} here`, { code: "not_found" })
    if (method !== "POST") {
      const headers = { allow: "POST" }
      throw new ApiError(405, `${path} takes POST, not ${method}`, { headers })
    }
    return this.#handle(request, handler)
  }

  #health(): Response {
    if (this.#isClosing) return Response.json({ status: "closing" }, { status: 503 })
    return Response.json({ status: "ok" })
  }

  async #handle(request: Request, handler: Handler): Promise<Response> {
    if (this.#isClosing) {
      throw new ApiError(503, "the server is closing", {
        type: "server_error",
        headers: { "retry-after": "5" },
      })
    }
    const began = performance.now()
    const body = await bodyOf(request, this.#options.maxBodyBytes ?? defaults.maxBodyBytes)
    const { model } = Object(body) as { model?: unknown }
    const { maxNewTokens = Number.MAX_SAFE_INTEGER } = this.#options
    const serving = this.#servingOf(model)
    const { signal, leave, release } = this.#limits(request.signal)
    const call: Call = {
      serving,
      model: String(model),
      ...{ body, signal, leave, maxNewTokens },
    }
    const seconds = (): number => (performance.now() - began) / 1000
    try {
      const response = await handler(call)
      this.#metrics.first.add(seconds())
      return this.#watched(response, () => {
        release()
        this.#metrics.whole.add(seconds())
      })
    } catch (error) {
      release()
      throw error
    }
  }

  /** What ends a request before it is done: its client, its time, or whoever says so. Nothing of it is left
   *  once it is released. */
  #limits(client: AbortSignal) {
    const { timeoutSeconds = defaults.timeoutSeconds } = this.#options
    const controller = new AbortController()
    const left = (): void => controller.abort(client.reason)
    const late = new DOMException(`more than ${timeoutSeconds} seconds`, "TimeoutError")
    const timer = setTimeout(() => controller.abort(late), 1000 * timeoutSeconds)
    client.addEventListener("abort", left, { once: true })
    if (client.aborted) left()
    return {
      signal: controller.signal,
      leave: () => controller.abort(new Error("the client has left")),
      release: () => {
        clearTimeout(timer)
        client.removeEventListener("abort", left)
      },
    }
  }

  /** The same response, which counts as under way until its body has ended. */
  #watched(response: Response, ended: () => void): Response {
    const { body, status, headers } = response
    if (!body) return response
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
    const piped = body
      .pipeTo(writable)
      .catch(() => undefined)
      .finally(() => {
        this.#underWay.delete(piped)
        ended()
      })
    this.#underWay.add(piped)
    return new Response(readable, { status, headers })
  }

  #servingOf(model: unknown): Serving {
    if (model === undefined || model === null) {
      throw new ApiError(400, "model: is missing", {
        param: "model",
        code: "missing_required_parameter",
      })
    }
    const serving = this.#all.get(String(model))
    if (serving) return serving
    const names = [...this.#all.keys()].join(", ")
    const message = `there is no model ${JSON.stringify(String(model).slice(0, 100))} here. There is ${names}`
    throw new ApiError(404, message, { param: "model", code: "model_not_found" })
  }

  #models(path: string): Response {
    const described = [...this.#all.keys()].map((id) => ({
      ...{ id, object: "model", created: this.#created, owned_by: "openelm" },
    }))
    if (path === "/v1/models") return Response.json({ object: "list", data: described })
    const asked = decodeURIComponent(path.slice("/v1/models/".length))
    this.#servingOf(asked)
    return Response.json(described.find(({ id }) => id === asked))
  }

  async #checkKey(request: Request): Promise<void> {
    const { apiKeys = [] } = this.#options
    if (apiKeys.length === 0) return
    const [, given = ""] = /^Bearer\s+(.*)$/i.exec(request.headers.get("authorization") ?? "") ?? []
    if (await isKnownKey(given, apiKeys)) return
    throw new ApiError(401, "the API key is missing or not known here", {
      type: "authentication_error",
      code: "invalid_api_key",
      headers: { "www-authenticate": "Bearer" },
    })
  }

  #corsOf(request: Request): Readonly<Record<string, string>> {
    const { cors = [] } = this.#options
    const origin = request.headers.get("origin")
    if (origin === null || !(cors.includes("*") || cors.includes(origin))) return {}
    return {
      "access-control-allow-origin": cors.includes("*") ? "*" : origin,
      "access-control-allow-methods": "GET, POST, OPTIONS",
      "access-control-allow-headers": "authorization, content-type",
      "access-control-max-age": "86400",
      vary: "origin",
    }
  }
}

/** The JSON of a body. Throws ApiError for one that is too long, and for none. */
async function bodyOf(request: Request, most: number): Promise<unknown> {
  const tooLong = (): ApiError => new ApiError(413, `the body is longer than ${most} bytes`)
  if (Number(request.headers.get("content-length") ?? 0) > most) throw tooLong()
  const parts: Uint8Array[] = []
  let length = 0
  for await (const part of request.body ?? []) {
    length += part.byteLength
    if (length > most) throw tooLong()
    parts.push(part)
  }
  const bytes = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.byteLength
  }
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes))
  } catch {
    throw new ApiError(400, "the body is not JSON in UTF-8", { code: "invalid_json" })
  }
}

/**
 * Serves a model to whoever asks by the OpenAI protocol: `/v1/models`, `/v1/completions`,
 * `/v1/chat/completions`, `/v1/embeddings`, `/health`, `/metrics` and a page at `/`. Requests share one batch,
 * in which each gets the tokens that it gets alone. Throws TypeError for adapters of other models.
 */
export function createService(model: LanguageModel, options: ServiceOptions = {}): Service {
  if (!(model instanceof LanguageModel))
    throw new TypeError("createService: the model must be a model")
  checkObject("createService: options", options)
  const { places = 1, queue = 0, maxBodyBytes = 1, maxNewTokens = 1, timeoutSeconds = 1 } = options
  const counts = { places, maxBodyBytes, maxNewTokens, timeoutSeconds }
  for (const [name, count] of Object.entries(counts)) checkWhole(`createService: ${name}`, count, 1)
  checkWhole("createService: queue", queue, 0)
  return new ModelService(model, options)
}
