// The README and the pages of docs/: the README's JavaScript runs as it stands, on every Node that it promises
// (docs.test.ts has the pages'); their links lead somewhere; the version is that of the changelog.
import { existsSync } from "node:fs"
import { dirname, join } from "node:path"
import { pages, root, snippetsRun, textOf } from "./snippets.ts"
import t from "./tap.ts"

snippetsRun(t, ["README.md"])

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
