// The example programs run, as a reader would run them.
import { execFile } from "node:child_process"
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { shippedModel } from "../index.ts"
import { onlyInWhole } from "./driver.ts"
import t from "./tap.ts"

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

t.test(
  "tune.js teaches the package's model what it then says, and saves how",
  onlyInWhole,
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "elm-example-"))
    t.teardown(() => rmSync(folder, { recursive: true }))
    const { stdout } = await run("tune.js", folder, "16")
    const [before, after, , without] = stdout.split(/^.*:$/m).slice(1)
    t.notMatch(before, /all hands well/)
    t.match(after, /all hands well[\s\S]*all hands well/)
    t.equal(before?.split("\n\n")[0]?.trim(), without?.split("\n\n")[0]?.trim())
    t.ok(existsSync(join(folder, "adapter_model.safetensors")))
  },
)
