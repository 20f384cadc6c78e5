// `npm test`: runs tap on every test, without the lines that Dawn writes by itself for each process
// that opens a GPU, and says how long that took.
import { spawn } from "node:child_process"
import { createRequire } from "node:module"
import { basename, dirname, join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"

const here = dirname(fileURLToPath(import.meta.url))
const root = join(here, "..", "..")
const require = createRequire(import.meta.url)
const tap = join(dirname(require.resolve("tap/package.json")), "dist", "esm", "run.mjs")
const ofDawn = /^Warning: (max\w+ artificially reduced|vkCreateInstance)|^ {4}at CheckVkSuccessImpl/
const start = performance.now()
const tests = join(basename(dirname(here)), basename(here), "*.test.js")
const child = spawn(process.execPath, [tap, "run", ...process.argv.slice(2), tests], {
  cwd: root,
  stdio: ["inherit", "inherit", "pipe"],
})
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => child.kill(signal))
createInterface({ input: child.stderr }).on("line", (line) => {
  if (!ofDawn.test(line)) process.stderr.write(`${line}\n`)
})
child.on("close", (code) => {
  process.stderr.write(`tests took ${((performance.now() - start) / 1000).toFixed(0)} s\n`)
  process.exitCode = code ?? 1
})
