// Builds the page and serves it at http://localhost:8000, or the port given, with the two headers that
// isolate it, so that its threads may share memory.
import { createReadStream, statSync } from "node:fs"
import { createServer } from "node:http"
import { extname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { buildPage } from "./build.js"

const types = {
  ...{ ".html": "text/html", ".css": "text/css" },
  ...{ ".js": "text/javascript", ".mjs": "text/javascript" },
}
const isolation = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
}

/** A server of a folder's files. */
export const serverOf = (folder, headers = isolation) =>
  createServer(({ url }, response) => {
    const path = new URL(`http://localhost${url}`).pathname.replace(/\/$/, "/index.html")
    const file = join(folder, path)
    const found = statSync(file, { throwIfNoEntry: false })
    if (!found?.isFile()) return response.writeHead(404).end(`no ${path}\n`)
    const type = types[extname(file)] ?? "application/octet-stream"
    response.writeHead(200, { ...headers, "Content-Type": type, "Content-Length": found.size })
    createReadStream(file).pipe(response)
  })

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const port = Number(process.argv[2] ?? 8000)
  await buildPage()
  const out = fileURLToPath(new URL("out", import.meta.url))
  serverOf(out).listen(port, "127.0.0.1", () => console.log(`http://localhost:${port}`))
}
