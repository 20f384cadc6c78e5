// JavaScript of the README and of the pages of docs/, run as a reader would.
import { execFile } from "node:child_process"
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import type { Test } from "./tap.ts"

export const root = fileURLToPath(new URL("../..", import.meta.url))

/** The README first. */
export const pages = ["README.md", ...readdirSync(join(root, "docs")).map((name) => `docs/${name}`)]
export const textOf = (page: string): string => readFileSync(join(root, page), "utf8")

/** An application that has installed the package, with the files that the pages speak of. */
function makeApp(): string {
  const app = mkdtempSync(join(tmpdir(), "openelm-readme-"))
  mkdirSync(join(app, "node_modules"))
  symlinkSync(root, join(app, "node_modules", "openelm"), "dir")
  cpSync(join(root, "models", "small"), join(app, "my-model"), { recursive: true })
  cpSync(join(root, "models", "small", "tokenizer.model"), join(app, "tokenizer.model"))
  writeFileSync(join(app, "package.json"), '{ "type": "module" }')
  const line = (i: number): string => `Line ${i} of a text of one's own.`
  writeFileSync(join(app, "my.txt"), Array.from({ length: 500 }, (_, i) => line(i)).join("\n"))
  return app
}

/** A test for each snippet of the pages. */
export function snippetsRun(t: Test, pages: readonly string[]): void {
  const app = makeApp()
  t.teardown(() => rmSync(app, { recursive: true }))
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
}
