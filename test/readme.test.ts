// The README and the pages of docs/: their JavaScript runs as it stands, on every Node that they promise;
// their links lead somewhere; the version is that of the changelog.
import { execFile } from "node:child_process"
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import t from "./tap.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const pages = ["README.md", ...readdirSync(join(root, "docs")).map((name) => `docs/${name}`)]
const textOf = (page: string): string => readFileSync(join(root, page), "utf8")

/** An application that has installed the package, with the files that the pages speak of. */
const app = mkdtempSync(join(tmpdir(), "openelm-readme-"))
t.teardown(() => rmSync(app, { recursive: true }))
mkdirSync(join(app, "node_modules"))
symlinkSync(root, join(app, "node_modules", "openelm"), "dir")
cpSync(join(root, "models", "small"), join(app, "my-model"), { recursive: true })
cpSync(join(root, "models", "small", "tokenizer.model"), join(app, "tokenizer.model"))
writeFileSync(join(app, "package.json"), '{ "type": "module" }')
const line = (i: number): string => `Line ${i} of a text of one's own.`
writeFileSync(join(app, "my.txt"), Array.from({ length: 500 }, (_, i) => line(i)).join("\n"))

for (const page of pages) {
  const snippets = [...textOf(page).matchAll(/^```(?:js|ts)\n([\s\S]*?)^```$/gm)]
  for (const [i, [, code = ""]] of snippets.entries()) {
    t.test(`snippet ${i + 1} of ${page} runs`, async (t) => {
      const file = join(app, `${page.replace(/\W/g, "-")}-${i}.js`)
      writeFileSync(file, code)
      // The runner of the tests has hooks for its children, which are not a reader's.
      const env = { ...process.env, NODE_OPTIONS: "" }
      const { stdout, stderr } = await promisify(execFile)(process.execPath, [file], {
        cwd: app,
        env,
      })
      t.equal(stderr, "")
      t.ok(stdout.length > 0)
      // A number of the page that the snippet prints.
      const shown = /\/\/ (\[[\d., -]+\])$/m.exec(code)?.[1]
      if (!shown) return
      const printed = (/\[([^\]]*)\]/.exec(stdout)?.[1] ?? "").split(",").map(Number)
      const same = JSON.parse(shown).map((want: number, n: number) => {
        return Math.abs(want - (printed[n] as number)) < 1e-3
      })
      t.ok(same.every(Boolean), `${shown} is what is printed: ${stdout}`)
    })
  }
}

t.test("links of the pages lead somewhere", (t) => {
  for (const page of pages) {
    for (const [, target = ""] of textOf(page).matchAll(/\]\(([^)#\s]+)[^)]*\)/g)) {
      if (/^https?:/.test(target)) continue
      t.ok(existsSync(join(root, dirname(page), target)), `${page}: ${target}`)
    }
  }
  t.end()
})

t.test("every page is linked from the README, which is short", (t) => {
  const readme = textOf("README.md")
  for (const page of pages.slice(1)) t.ok(readme.includes(`](${page})`), page)
  t.ok(readme.split("\n").length < 100)
  t.end()
})

t.test("the version is the changelog's", (t) => {
  const { version } = JSON.parse(textOf("package.json"))
  t.equal(/^## (\S+)/m.exec(textOf("CHANGELOG.md"))?.[1], version)
  t.end()
})
