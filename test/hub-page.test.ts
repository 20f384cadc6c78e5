// The hub in a page: what is opened is kept in the browser's cache, checked, read without the hub after a
// reload, and a download that broke off goes on from its pieces.
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { build } from "esbuild"
import type { Page } from "playwright-core"
import { Sha256 } from "../model/files/sha256.ts"
import { launch, noWholeBrowser, pageOf, root, serve } from "./chromium.ts"
import type * as inside from "./hub_inside.ts"
import { serveHub } from "./hub_server.ts"
import t from "./tap.ts"

t.test("SHA-256 of pieces is that of the whole", (t) => {
  for (const length of [0, 1, 55, 56, 63, 64, 65, 119, 120, 5000]) {
    const bytes = Uint8Array.from({ length }, (_, i) => 31 * i + 7)
    const hash = new Sha256()
    for (let at = 0; at < length; at += 37) hash.update(bytes.subarray(at, at + 37))
    t.equal(hash.digest(), createHash("sha256").update(bytes).digest("hex"), `${length} bytes`)
  }
  t.end()
})

const small = (file: string, isLarge = false) => ({
  [file]: { bytes: readFileSync(join(root, "models/small", file)), isLarge },
})

t.test(
  "a page keeps what it loads of the hub",
  noWholeBrowser ? { skip: noWholeBrowser } : {},
  async (t) => {
    const html = "<!doctype html><link rel=icon href=data:,><title>test</title>"
    const out = t.testdir({ "index.html": html })
    const entry = { inside: "dist/test/hub_inside.js" }
    const bundle = { bundle: true, format: "esm", platform: "browser", logLevel: "silent" } as const
    await build({ entryPoints: entry, absWorkingDir: root, outdir: out, ...bundle })
    const [browser, site] = [await launch(), await serve(t, out)]
    t.teardown(() => browser.close())
    const files = { ...small("config.json"), ...small("tokenizer.model") }
    const weights = small("model.safetensors", true)["model.safetensors"] as { bytes: Buffer }
    const { length: total } = weights.bytes
    const hub = await serveHub(t, { ...files, "model.safetensors": { ...weights, isLarge: true } })
    const load = (page: Page, ...token: string[]): ReturnType<typeof inside.loadedFromHub> => {
      const args = ["org/m", hub.endpoint, ...token]
      return page.evaluate(
        `import("/inside.js").then((x) => x.loadedFromHub(...${JSON.stringify(args)}))`,
      ) as ReturnType<typeof inside.loadedFromHub>
    }

    await t.test("with progress, then without the hub", async (t) => {
      const [page] = await pageOf(browser)
      await page.goto(site)
      const first = await load(page, "hf_x")
      t.match(first, { parameters: 5870336, tokenizer: "tokenizer.model" })
      t.same(
        first.downloads.at(-1)?.[2],
        readFileSync(join(root, "models/small/tokenizer.model")).length,
      )
      const told = first.downloads.filter(([file]) => file === "org/m/model.safetensors")
      t.same(told.at(-1), ["org/m/model.safetensors", total, total])
      t.ok(
        hub.asked.every((line) => line.endsWith("Bearer hf_x")),
        "the token goes to the hub",
      )
      t.notMatch(hub.contents.join(), /hf_x/, "and to nobody else")
      const before = hub.contents.length
      await page.reload()
      hub.status = 500
      const again = await load(page)
      hub.status = undefined
      t.match(again, { parameters: 5870336, tokenizer: "tokenizer.model", downloads: [] })
      t.equal(hub.contents.length, before, "nothing was downloaded again")
      await page.context().close()
    })

    await t.test("a download goes on from its pieces, and is checked", async (t) => {
      const [page] = await pageOf(browser)
      await page.goto(site)
      hub.contents.length = 0
      hub.trouble = (_n, response, { headers }, good) =>
        headers.range?.startsWith("bytes=0-") ? good() : response.writeHead(404).end()
      t.match(
        (await load(page)).error,
        /Cannot read org\/m\/model\.safetensors: the hub's status is 404/,
      )
      await page.reload()
      const begun = hub.contents.splice(0)
      t.ok(begun.length > 1)
      hub.trouble = (_n, _response, _request, good) => good()
      t.match(await load(page), { parameters: 5870336 })
      t.ok(hub.contents.length > 0 && hub.contents.every((range) => !range.startsWith("bytes=0-")))
      const other = Buffer.from(weights.bytes)
      other[total - 1] = (other[total - 1] as number) ^ 1
      hub.files = {
        ...files,
        "model.safetensors": { bytes: other, isLarge: true, hash: "0".repeat(64) },
      }
      const [fresh] = await pageOf(browser)
      await fresh.goto(site)
      t.match(
        (await load(fresh)).error,
        /org\/m\/model\.safetensors has another content than the hub says/,
      )
      const keys = `caches.open("openelm-hub").then((c) => c.keys()).then((all) => all.map((x) => x.url))`
      const kept = (await fresh.evaluate(keys)) as string[]
      t.same(
        kept.filter((url) => url.includes("0".repeat(64))),
        [],
        "nothing of it stays",
      )
    })
  },
)
