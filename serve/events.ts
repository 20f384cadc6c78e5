// A response of events as they come (text/event-stream), each a JSON value, "[DONE]" the last.
import { apiError, errorBody } from "./errors.ts"

/** Events without a break keep proxies from closing what is idle. */
const headers = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-store",
  "x-accel-buffering": "no",
}

/** Streams what comes; who cancels it, leaves it. An error after the first event is an event itself. */
export function eventStream(
  values: AsyncGenerator<unknown, void, undefined>,
  first: IteratorResult<unknown, void>,
  leave: () => void,
): Response {
  const encoder = new TextEncoder()
  const event = (data: string): Uint8Array => encoder.encode(`data: ${data}\n\n`)
  let next: IteratorResult<unknown, void> | undefined = first
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = next ?? (await values.next())
        next = undefined
        if (!done) return controller.enqueue(event(JSON.stringify(value)))
        controller.enqueue(event("[DONE]"))
      } catch (error) {
        controller.enqueue(event(JSON.stringify(errorBody(apiError(error)))))
      }
      controller.close()
    },
    cancel: leave,
  })
  return new Response(body, { headers })
}
