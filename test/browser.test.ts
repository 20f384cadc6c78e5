// The package in Chromium: in pages and in module workers, with threads and without, the op table on
// wasm and on WebGPU; and that a bundle for browsers has nothing of Node in it.
import { join } from "node:path"
import { build, type Metafile } from "esbuild"
import type { Page } from "playwright-core"
import ts from "typescript"
import { type BackendName, OpenELM, open, shippedModel, type WasmOptions } from "../index.ts"
import { plainOps } from "../ops/index.ts"
import { launch, noBrowser, noWholeBrowser, pageOf, root, serve } from "./chromium.ts"
import type * as inside from "./page.ts"
import { resultsOn } from "./page.ts"
import { serveFolder } from "./server.ts"
import t, { type Test } from "./tap.ts"
import { relativeError } from "./tolerance.ts"

const whole = noWholeBrowser ? { skip: noWholeBrowser } : {}

type Results = Awaited<ReturnType<typeof inside.resultsOn>>

const blank = "<!doctype html><link rel=icon href=data:,><title>test</title>"
const out = t.testdir({ "index.html": blank })

/** Bundles modules as an application would, without a word about Node. */
const bundle = (entryPoints: Record<string, string>, written: boolean) =>
  build({
    entryPoints,
    absWorkingDir: root,
    outdir: out,
    bundle: true,
    splitting: written,
    write: written,
    format: "esm",
    platform: "browser",
    metafile: true,
    logLevel: "silent",
  })

t.test("a bundle has nothing of Node in it", async (t) => {
  const { metafile, outputFiles = [] } = await bundle({ all: "dist/index.js" }, false)
  t.same(externals(metafile), [])
  t.equal(outputFiles.length, 1)
  for (const { text } of outputFiles) {
    t.notOk(/\b(from|import)\s*\(?\s*["']node:|\brequire\(\s*["']/.exec(text)?.[0])
  }
  t.notOk(Object.keys(metafile.inputs).find((path) => path.includes("node_modules/webgpu/")))
})

t.test("types need nothing of Node", (t) => {
  const options: ts.CompilerOptions = {
    target: ts.ScriptTarget.ES2023,
    lib: ["lib.es2023.d.ts", "lib.esnext.disposable.d.ts", "lib.dom.d.ts"],
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    strict: true,
    noEmit: true,
    skipDefaultLibCheck: true,
    types: [],
  }
  const program = ts.createProgram([join(root, "dist/index.d.ts")], options)
  const found = ts.getPreEmitDiagnostics(program)
  t.same(
    found.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n")),
    [],
  )
  t.end()
})

const externals = ({ outputs }: Metafile): string[] =>
  Object.values(outputs).flatMap(({ imports }) =>
    imports.filter((i) => i.external).map((i) => i.path),
  )

type Inside = typeof inside

/** Calls what the page's module exports. */
const call = <Name extends keyof Inside>(
  page: Page,
  name: Name,
  ...args: Parameters<Inside[Name]>
): ReturnType<Inside[Name]> =>
  page.evaluate(
    `import("/page.js").then(({ ${name} }) => ${name}(...${JSON.stringify(args)}))`,
  ) as ReturnType<Inside[Name]>

/** What a page makes of the small model. */
const inPage = (page: Page, name: BackendName, options: WasmOptions = {}): Promise<Results> =>
  call(page, "resultsOn", name, options)

/** Updates on webgpu: their many kernels are compiled once. */
const updates: Readonly<Record<string, number>> = { inPage: 3, inWorker: 0 }

/** The same from a module worker. */
const inWorker = (page: Page, name: BackendName, options: WasmOptions = {}): Promise<Results> =>
  page.evaluate(
    (args) =>
      new Promise((resolve, reject) => {
        const worker = new Worker("/page.js", { type: "module" })
        worker.onmessage = ({ data }) => {
          if (typeof data === "string") reject(new Error(data))
          else resolve(data)
          worker.terminate()
        }
        worker.onerror = ({ message }) => reject(new Error(message))
        worker.postMessage(args)
      }),
    [name, options, name === "webgpu" ? updates.inWorker : 3],
  )

async function walkTable(t: Test, page: Page, name: BackendName, options: WasmOptions) {
  const ops = await call(page, "kernelsOf", name, options)
  t.same(
    plainOps.filter((op) => !op.view && !ops.includes(op.name)).map((op) => op.name),
    [],
    "every plain op has a kernel",
  )
  const wanted = process.env.ELM_TEST_OPS?.split(",")
  for (const op of ops.filter((name) => !wanted || wanted.includes(name))) {
    const found = await call(page, "walk", op)
    for (const [name, wrong] of found) t.equal(wrong, "", name)
  }
}

t.test(
  "a bundle in Chromium computes what Node does",
  noBrowser ? { skip: noBrowser } : {},
  async (t) => {
    await bundle({ page: "dist/test/page.js", worker: "dist/backends/wasm/worker.js" }, true)
    const browser = await launch()
    t.teardown(() => browser.close())
    const want = await resultsOn("wasm", { threads: 2 })
    const same = (t: Test, got: Results, what: string, updates = 3): void => {
      t.same(got.tokens, want.tokens, what)
      const losses = want.losses.slice(0, updates)
      t.ok(relativeError(got.losses, losses) < 1e-5, `${what}: losses ${got.losses}`)
    }

    await t.test("an isolated page has threads", async (t) => {
      const [page, complaints] = await pageOf(browser)
      await page.goto(await serve(t, out))
      const cores = await page.evaluate(() => navigator.hardwareConcurrency)
      const places = noWholeBrowser ? { inPage } : { inPage, inWorker }
      for (const [where, results] of Object.entries(places)) {
        const own = await results(page, "wasm")
        same(t, own, where)
        t.equal(own.threads, cores, own.build)
        const three = await results(page, "wasm", { threads: 3, simd: "simd" })
        same(t, three, `${where}, three threads`)
        t.same([three.threads, three.build], [3, "SIMD"])
        same(t, await results(page, "webgpu"), `${where}, webgpu`, updates[where])
      }
      const freed = await call(page, "freedUnder", "wasm", { threads: 2 })
      t.same(
        freed,
        { logits: true, others: true, kept: [7, 7], waited: true },
        "memory freed under a run",
      )
      t.match(await call(page, "closedUnder", "wasm"), /^wasm: the backend (is|was) closed/)
      t.same(complaints, [])
    })

    await t.test("a page that is not isolated has one, and says so", whole, async (t) => {
      const [page, complaints] = await pageOf(browser)
      await page.goto(await serve(t, out, false))
      for (const [where, results] of Object.entries({ inPage, inWorker })) {
        const own = await results(page, "wasm")
        same(t, own, where)
        t.equal(own.threads, 1)
        t.match(own.build, /SIMD, 1 thread: the page is not cross-origin isolated$/)
        await t.rejects(results(page, "wasm", { threads: 2 }), {
          message: /Serve the page cross-origin isolated/,
        })
      }
      t.same(complaints, [])
    })

    await t.test("a page loads a model of another site that lets it", whole, async (t) => {
      const [page] = await pageOf(browser)
      await page.goto(await serve(t, out, false))
      const folder = await shippedModel()
      const headers: readonly [Record<string, string>, RegExp][] = [
        [{}, /the server does not answer \(.*lets pages of other sites read it \(CORS\)$/],
        [{ "access-control-allow-origin": "*" }, /^tokenizer\.model, 5870336 weights$/],
        [
          {
            "access-control-allow-origin": "*",
            "access-control-expose-headers": "content-range, etag",
          },
          /^tokenizer\.model, 5870336 weights$/,
        ],
      ]
      for (const [given, says] of headers) {
        const { url } = await serveFolder(t, folder, ({ response, good }) => {
          for (const [name, value] of Object.entries(given)) response.setHeader(name, value)
          good()
        })
        t.match(await call(page, "loadedFrom", url), says, Object.keys(given).join())
      }
    })

    await t.test("a page loads a model of files that it has, and of a folder", whole, async (t) => {
      const [page, complaints] = await pageOf(browser)
      await page.goto(await serve(t, out, false))
      const { url } = await serveFolder(t, await shippedModel(), ({ response, good }) => {
        response.setHeader("access-control-allow-origin", "*")
        good()
      })
      const names = ["config.json", "model.safetensors", "tokenizer.model"]
      const loaded = "tokenizer.model, 5870336 weights"
      const lacking = "Cannot open config.json: no such file among those given. Add it"
      t.same(await call(page, "loadedHere", url, names), [loaded, loaded, lacking])
      t.same(complaints, [])
    })

    await t.test("what is missing in a page is one error", whole, async (t) => {
      const [page] = await pageOf(browser)
      await page.goto(await serve(t, out))
      await page.route("**/worker.js", (route) => route.fulfill({ status: 404 }))
      await t.rejects(inPage(page, "wasm"), {
        message: /its script worker\.js did not load: serve it beside the bundle/,
      })
      await page.evaluate("navigator.gpu.requestAdapter = async () => null")
      await t.rejects(inPage(page, "webgpu"), { message: /no GPU that it lets pages use/ })
      await page.evaluate('Object.defineProperty(Navigator.prototype, "gpu", { value: undefined })')
      await t.rejects(inPage(page, "webgpu"), { message: /this browser has no WebGPU here/ })
      await t.rejects(
        page.evaluate('import("/page.js").then((inside) => inside.loadPath("./my"))'),
        {
          message: /A browser has no node:path: .* Give an http or https URL/,
        },
      )
    })

    await t.test("the package runs without a bundler", whole, async (t) => {
      const url = await serve(t, root)
      const [page, complaints] = await pageOf(browser)
      const imports = {
        "wasm-feature-detect": "/node_modules/wasm-feature-detect/dist/esm/index.js",
        valibot: "/node_modules/valibot/dist/index.mjs",
      }
      const map = `<script type="importmap">${JSON.stringify({ imports })}</script>`
      await page.route(`${url}bare`, async (route) => {
        const headers = (await route.fetch({ url: `${url}package.json` })).headers()
        await route.fulfill({ headers, contentType: "text/html", body: blank + map })
      })
      await page.goto(`${url}bare`)
      const text = await page.evaluate(`(async () => {
      const { OpenELM, open, shippedModel } = await import("/dist/index.js")
      const backend = await open("wasm", { threads: 2 })
      const model = await OpenELM.load(await shippedModel(), { backend })
      let text = ""
      for await (const token of model.generate("It is", { maxNewTokens: 8 })) text += token.text
      return text
    })()`)
      t.equal(text, await shippedText())
      // A page says of each optional file of a model's folder that it is not there.
      const others = complaints.filter((text) => !/status of 404 \(Not Found\)/.test(text))
      t.same(others, [])
    })

    for (const [name, options] of [
      ["wasm", { threads: 2 }],
      ["webgpu", {}],
    ] as const) {
      await t.test(`the op table on ${name} in a page`, whole, async (t) => {
        const [page, complaints] = await pageOf(browser)
        await page.goto(await serve(t, out))
        await walkTable(t, page, name, options)
        t.same(complaints, [])
      })
    }
  },
)

async function shippedText(): Promise<string> {
  await using backend = await open("wasm")
  await using model = await OpenELM.load(await shippedModel(), { backend })
  let text = ""
  for await (const token of model.generate("It is", { maxNewTokens: 8 })) text += token.text
  return text
}
