// The JSON of a request's body, within bounds: of bytes, of time, and of how deep it is nested.
import { ApiError } from "./errors.ts"

/** Deepest nesting: what reads values calls itself for each level. */
const mostLevels = 200

/** Throws ApiError for a body that is too long, too deep, or none; the signal's reason where that is aborted. */
export async function bodyOf(
  request: Request,
  most: number,
  signal: AbortSignal,
): Promise<unknown> {
  const tooLong = (): ApiError => new ApiError(413, `the body is longer than ${most} bytes`)
  if (Number(request.headers.get("content-length") ?? 0) > most) throw tooLong()
  const parts: Uint8Array[] = []
  let length = 0
  for await (const part of until(signal, request.body)) {
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
  return parsedFrom(bytes)
}

function parsedFrom(bytes: Uint8Array): unknown {
  let text = ""
  let value: unknown
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes)
    value = JSON.parse(text)
  } catch {
    throw new ApiError(400, "the body is not JSON in UTF-8", { code: "invalid_json" })
  }
  if (levelsOf(text) <= mostLevels) return value
  throw new ApiError(400, `the body is nested deeper than ${mostLevels} levels`)
}

/** How deep lists and objects of a JSON text lie within each other. */
function levelsOf(json: string): number {
  let [level, most, isText] = [0, 0, false]
  for (let i = 0; i < json.length; i++) {
    const c = json[i]
    if (isText && c === "\\") i++
    else if (c === '"') isText = !isText
    else if (isText) continue
    else if (c === "[" || c === "{") most = Math.max(most, ++level)
    else if (c === "]" || c === "}") level--
  }
  return most
}

/** Parts of a stream as they come. Throws the signal's reason when that is aborted, whether more come or not. */
async function* until(
  signal: AbortSignal,
  stream: ReadableStream<Uint8Array> | null,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (!stream) return
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true })
  })
  aborted.catch(() => undefined)
  const reader = stream.getReader()
  for (;;) {
    signal.throwIfAborted()
    const { done, value } = await Promise.race([reader.read(), aborted])
    if (done) return
    yield value
  }
}
