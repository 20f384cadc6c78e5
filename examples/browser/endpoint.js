// A service worker: requests below v1/ beside the page go to the engine of an open page, and come back as
// a server's answers would, streams among them. Neither leaves the device.
const root = new URL("v1/", registration.scope)

// At once, also for pages that were open before.
addEventListener("install", () => skipWaiting())
addEventListener("activate", (event) => event.waitUntil(clients.claim()))

addEventListener("fetch", (event) => {
  if (event.request.url.startsWith(root.href)) event.respondWith(answer(event))
})

/** A response made of what comes through a port: a head, then chunks, then the end. */
async function answer({ request, clientId }) {
  const page = (await clients.get(clientId)) ?? (await clients.matchAll({ type: "window" }))[0]
  if (!page) return new Response("No page is open that has the model.\n", { status: 503 })
  const { method, url } = request
  const path = `/v1/${url.slice(root.href.length)}`
  const body = method === "GET" || method === "HEAD" ? undefined : await request.text()
  const { port1: port, port2 } = new MessageChannel()
  page.postMessage({ method, path, headers: [...request.headers], body }, [port2])
  return new Promise((resolve) => {
    let chunks
    const stream = new ReadableStream({
      start: (controller) => {
        chunks = controller
      },
      cancel: () => port.postMessage("leave"),
    })
    port.onmessage = ({ data: { head, chunk, end, error } }) => {
      if (head) resolve(new Response(head.status === 204 ? null : stream, head))
      if (chunk) chunks.enqueue(chunk)
      if (error) chunks.error(new TypeError(error))
      if (end) chunks.close()
      if (end || error) port.close()
    }
  })
}
