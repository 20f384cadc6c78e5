// What a person reads where there is no GPU, no package for it, or a shader that is wrong.
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { openWebgpu } from "../backends/webgpu/index.ts"
import { Pipelines } from "../backends/webgpu/pipelines.ts"
import { noWebgpu } from "./backends.ts"
import t from "./tap.ts"

const elm = fileURLToPath(new URL("../elm.js", import.meta.url))

/** Runs `elm bench --backend webgpu`, and returns how it ended and what it said. */
const bench = (options: readonly string[], env: Readonly<Record<string, string>>) =>
  new Promise<{ code: unknown; stderr: string }>((resolve) => {
    const args = [...options, elm, "bench", "--backend", "webgpu"]
    // The runner of the tests has hooks for its children, which hide what is imported.
    const clean = { ...process.env, NODE_OPTIONS: "", ...env }
    execFile(process.execPath, args, { env: clean }, (error, _, stderr) =>
      resolve({ code: error?.code ?? 0, stderr }),
    )
  })

/** Makes the package `webgpu` one that is not there. */
const hiding = `data:text/javascript,${encodeURIComponent(`
  import { register } from "node:module"
  const hooks = 'export async function resolve(name, context, next) {' +
    ' if (name === "webgpu") throw new Error("not found"); return next(name, context) }'
  register("data:text/javascript," + encodeURIComponent(hooks))`)}`

t.test("without the package, one line says how to add it", async (t) => {
  const { code, stderr } = await bench(["--import", hiding], {})
  t.equal(code, 1)
  t.match(stderr, /Cannot open webgpu: the package webgpu is not installed.*npm install webgpu\n$/)
})

const noVulkan = process.platform === "linux" ? noWebgpu : "drivers are hidden on Linux only"
t.test(
  "without a driver, one line says what to install",
  { skip: noVulkan ?? false },
  async (t) => {
    const none = "/nonexistent/driver.json"
    const { code, stderr } = await bench([], { VK_DRIVER_FILES: none, VK_ICD_FILENAMES: none })
    t.equal(code, 1)
    t.match(
      stderr,
      /^Cannot open webgpu: no adapter\. Install .*Debian.*Fedora.*macOS.*--backend wasm\n$/,
    )
  },
)

t.test("a wrong shader is shown with its file and line", { skip: noWebgpu ?? false }, async (t) => {
  await using backend = await openWebgpu()
  const code = "//# ops/wrong.wgsl:7\nfn right() {}\nfn wrong() { let a: f32 = 1u; }\n"
  const { ready } = new Pipelines(backend.device, backend.features).own("wrong", [], code)
  await t.rejects(ready, {
    message:
      /the kernel wrong does not compile\n {2}ops\/wrong\.wgsl:8:\d+: .*\n[\s\S]* 3 {2}fn wrong/,
  })
})

t.test("what a driver that computes nothing holds is zeros", async (t) => {
  await using backend = await openWebgpu({ driver: "null" })
  const x = backend.alloc(8, "i32")
  backend.write(x, Int32Array.of(7, -7))
  for (let i = 0; i < 8; i++) t.same(new Int32Array(await backend.read(x, 4, 4)), [0])
})

t.test("memory that is full is one error", async (t) => {
  const backend = await openWebgpu({ driver: "null" })
  // Dawn's driver that computes nothing has 512 MiB.
  const fill = async () => {
    for (let i = 0; i < 20; i++) {
      backend.alloc(64 << 20)
      await new Promise((resolve) => setTimeout(resolve))
    }
  }
  await t.rejects(fill(), { name: "RangeError", message: /full, with \d+ bytes in use.*smaller/ })
  backend.close()
})
