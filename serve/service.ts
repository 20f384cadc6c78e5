// The OpenAI protocol over one model: a request in, a response out, and no socket, so that Node, Deno, Bun,
// a worker of a page and a test use the same.
import { checkObject, checkWhole } from "../engine/index.ts"
import { type Adapter, internals, LanguageModel, type Serving } from "../model/index.ts"
import { bodyOf } from "./body.ts"
import { type Call, secondsNow } from "./call.ts"
import { chatCompletions } from "./chat.ts"
import { completions } from "./completions.ts"
import { embeddings } from "./embeddings.ts"
import { ApiError, apiError, errorResponse, invalid } from "./errors.ts"
import { isKnownKey } from "./keys.ts"
import { type Limits, limitsOf, mostSeconds } from "./limits.ts"
import { Metrics } from "./metrics.ts"
import { checkOrigin, corsHeaders } from "./origins.ts"
import { page } from "./page.ts"
import { UnderWay } from "./under_way.ts"

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
  readonly #underWay = new UnderWay()
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
    const { cors = [] } = this.#options
    for (const [name, value] of Object.entries(corsHeaders(request, cors))) {
      response.headers.set(name, value)
    }
    return response
  }

  async close({ now = false } = {}): Promise<void> {
    this.#isClosing = true
    if (!now) await this.#underWay.ended()
    for (const serving of this.#all.values()) await serving.close()
  }

  async #answer(request: Request, path: string): Promise<Response> {
    const method = request.method === "HEAD" ? "GET" : request.method
    if (method === "OPTIONS") return new Response(null, { status: 204 })
    const handler = handlers[path]
    const read = this.#readable(path)
    if (read && method === "GET") {
      if (!isOpen(path)) await this.#checkKey(request)
      return read()
    }
    await this.#checkKey(request)
    if (handler && method === "POST") return this.#handle(request, handler)
    if (!handler && !read)
      throw new ApiError(404, `there is no ${method} ${path} here`, { code: "not_found" })
    const allow = handler ? "POST" : "GET"
    const headers = { allow: handler ? "POST, OPTIONS" : "GET, HEAD, OPTIONS" }
    throw new ApiError(405, `${path} takes ${allow}, not ${method}`, { headers })
  }

  /** What GET gives at a path; undefined where there is nothing. */
  #readable(path: string): (() => Response) | undefined {
    if (path === "/") return page
    if (path === "/health") return () => this.#health()
    if (path === "/metrics") return () => this.#metrics.response(this.#all)
    if (path === "/v1/models" || path.startsWith("/v1/models/")) return () => this.#models(path)
    return undefined
  }

  #health(): Response {
    if (this.#isClosing) return Response.json({ status: "closing" }, { status: 503 })
    return Response.json({ status: "ok" })
  }

  async #handle(request: Request, handler: Handler): Promise<Response> {
    const { cors = [], apiKeys = [], timeoutSeconds = defaults.timeoutSeconds } = this.#options
    checkOrigin(request, cors, apiKeys.length > 0)
    this.#checkOpen()
    const began = performance.now()
    const limits = limitsOf(request.signal, timeoutSeconds)
    const seconds = (): number => (performance.now() - began) / 1000
    let left: () => void = limits.release
    try {
      const most = this.#options.maxBodyBytes ?? defaults.maxBodyBytes
      const body = await bodyOf(request, most, limits.signal)
      // Who was not there in full when the end began is not waited for.
      this.#checkOpen()
      const ended = this.#underWay.enter()
      left = () => {
        limits.release()
        ended()
      }
      const response = await handler(this.#callOf(body, limits))
      this.#metrics.first.add(seconds())
      return watched(response, () => {
        left()
        this.#metrics.whole.add(seconds())
      })
    } catch (error) {
      left()
      throw error
    }
  }

  #callOf(body: unknown, { signal, leave }: Limits): Call {
    const { model } = Object(body) as { model?: unknown }
    const { maxNewTokens = Number.MAX_SAFE_INTEGER } = this.#options
    const serving = this.#servingOf(model)
    return { serving, model: String(model), body, signal, leave, maxNewTokens }
  }

  #checkOpen(): void {
    if (!this.#isClosing) return
    throw new ApiError(503, "the server is closing", {
      type: "server_error",
      headers: { "retry-after": "5" },
    })
  }

  #servingOf(model: unknown): Serving {
    if (model === undefined || model === null) {
      throw new ApiError(400, "model: is missing", {
        param: "model",
        code: "missing_required_parameter",
      })
    }
    if (typeof model !== "string") throw invalid("model", "expected a text", "invalid_value")
    const serving = this.#all.get(model)
    if (serving) return serving
    const names = [...this.#all.keys()].join(", ")
    const message = `there is no model ${JSON.stringify(model.slice(0, 100))} here. There is ${names}`
    throw new ApiError(404, message, { param: "model", code: "model_not_found" })
  }

  #models(path: string): Response {
    const described = [...this.#all.keys()].map((id) => ({
      ...{ id, object: "model", created: this.#created, owned_by: "openelm" },
    }))
    if (path === "/v1/models") return Response.json({ object: "list", data: described })
    const asked = decoded(path.slice("/v1/models/".length))
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
}

/** What anybody may see: that it is there, and the page, which asks with a key. */
const isOpen = (path: string): boolean => path === "/" || path === "/health"

/** A name in a path; as it is where its percents are none. */
function decoded(name: string): string {
  try {
    return decodeURIComponent(name)
  } catch {
    return name
  }
}

/** Throws TypeError for what is no list of texts: the letters of one text would be keys, and an empty key is what
 *  who has none sends. */
function checkTexts(name: string, given: unknown = []): void {
  const isText = (each: unknown): boolean => typeof each === "string" && each.trim() !== ""
  if (Array.isArray(given) && given.every(isText)) return
  throw new TypeError(`createService: ${name} must be a list of texts, none of them empty`)
}

/** The same response; `ended` is called when its body has come to its end, or nobody reads it any longer. */
function watched(response: Response, ended: () => void): Response {
  const { body, status, headers } = response
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
  void (body as NonNullable<typeof body>)
    .pipeTo(writable)
    .catch(() => undefined)
    .finally(ended)
  return new Response(readable, { status, headers })
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
  const counts = { places, maxBodyBytes, maxNewTokens }
  for (const [name, count] of Object.entries(counts)) checkWhole(`createService: ${name}`, count, 1)
  checkWhole("createService: queue", queue, 0)
  checkWhole("createService: timeoutSeconds", timeoutSeconds, 1, mostSeconds)
  checkTexts("apiKeys", options.apiKeys)
  checkTexts("cors", options.cors)
  return new ModelService(model, options)
}
