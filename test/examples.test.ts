// The example programs run, as a reader would run them.
import { execFile } from "node:child_process"
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import t from "tap"
import { shippedModel } from "../index.ts"

const run = (name: string, ...args: string[]) => {
  const path = fileURLToPath(new URL(`../../examples/${name}`, import.meta.url))
  return promisify(execFile)(process.execPath, [path, ...args], { timeout: 120_000 })
}

t.test("train.js learns to add", async (t) => {
  t.match((await run("train.js")).stdout, /100 of 100 sums right/)
})

t.test("generate.js continues a text", async (t) => {
  t.ok(existsSync(await shippedModel()), "the package's model is there")
  const { stdout } = await run("generate.js", "It is a truth")
  t.match(stdout, /^It is a truth[\s\S]{40}/)
})
