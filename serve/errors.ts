// What goes wrong, as the protocol says it: an error object that clients of it read.
import { ContextLengthError, QueueFullError } from "../model/index.ts"

type ErrorType =
  | "invalid_request_error"
  | "authentication_error"
  | "rate_limit_error"
  | "server_error"

/** A refusal, with its status. */
export class ApiError extends Error {
  readonly status: number
  readonly type: ErrorType
  readonly param: string | null
  readonly code: string | null
  readonly headers: Readonly<Record<string, string>>

  constructor(
    status: number,
    message: string,
    {
      type = "invalid_request_error" as ErrorType,
      param = null as string | null,
      code = null as string | null,
      headers = {} as Readonly<Record<string, string>>,
    } = {},
  ) {
    super(message)
    this.status = status
    this.type = type
    this.param = param
    this.code = code
    this.headers = headers
  }
}

/** Nobody waits for the answer any longer. */
export class ClientGoneError extends Error {
  constructor() {
    super("the client has left")
  }
}

/** Of what no client reads: 499, as other servers count it. */
const clientGone = 499

/** A field of a request that cannot be. */
export const invalid = (param: string, message: string, code: string | null = null): ApiError =>
  new ApiError(400, `${param}: ${message}`, { param, code })

/** What the protocol has and this server has not. */
export const unsupported = (param: string, why: string): ApiError =>
  invalid(param, `is not supported: ${why}`, "unsupported_parameter")

/** Seconds after which a queue that is full may have room. */
const retrySeconds = 1

/** Any error as a refusal: what the model's checks say of values is the client's, all else the server's. */
export function apiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error
  if (error instanceof QueueFullError) {
    const headers = { "retry-after": String(retrySeconds) }
    return new ApiError(429, error.message, {
      type: "rate_limit_error",
      code: "queue_full",
      headers,
    })
  }
  if (error instanceof DOMException && error.name === "TimeoutError") {
    return new ApiError(408, "the request took longer than it may here", {
      type: "server_error",
      code: "timeout",
      // It would take as long again; and what is still on its way is not waited for.
      headers: { "x-should-retry": "false", connection: "close" },
    })
  }
  if (error instanceof ClientGoneError) return new ApiError(clientGone, error.message)
  const message = error instanceof Error ? error.message : String(error)
  if (error instanceof RangeError || error instanceof TypeError || error instanceof SyntaxError) {
    if (error instanceof ContextLengthError) {
      return new ApiError(400, unplaced(message), { code: "context_length_exceeded" })
    }
    return ofOption(unplaced(message))
  }
  return new ApiError(500, message, { type: "server_error" })
}

/** What the model says, without the function that says it. */
const unplaced = (message: string): string => message.replace(/^(generate|chat|embed): /, "")

/** Options of a generation that requests set, as the model calls them. */
const options = "temperature topP topK minP stop seed logitBias repetitionPenalty".split(" ")

/** What the model's checks say of an option, of the field that set it. */
function ofOption(message: string): ApiError {
  const [, name = "", rest = ""] = /^(\w+):? (.*)$/s.exec(message) ?? []
  if (!options.includes(name)) return new ApiError(400, message)
  const param = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
  return invalid(param, rest, "invalid_value")
}

/** The object that clients read. */
export const errorBody = ({ message, type, param, code }: ApiError) => ({
  error: { message, type, param, code },
})

export const errorResponse = (error: ApiError): Response =>
  Response.json(errorBody(error), { status: error.status, headers: error.headers })
