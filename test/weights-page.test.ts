// Every command of docs/weights.md runs as it stands there, in a folder with the files that it speaks of.
import { spawnSync } from "node:child_process"
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { PlainDType } from "../model/checkpoints/header.ts"
import { f32Rows } from "../model/checkpoints/numbers.ts"
import { openCheckpoint } from "../model/index.ts"
import { fixture } from "./fixtures.ts"
import t from "./tap.ts"
import { pickled, zipped } from "./torch_writer.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const elm = join(root, "dist", "elm.js")
const dir = mkdtempSync(join(tmpdir(), "openelm-weights-page-"))
t.teardown(() => rmSync(dir, { recursive: true }))

/** A model of a GGUF file as torch.save would write it. */
async function torchFile(path: string): Promise<Buffer> {
  const { tensors, close } = await openCheckpoint(path)
  const all = [...tensors].map(([name, tensor], i) => {
    const count = tensor.shape.reduce((a, b) => a * b, 1)
    return { name, tensor, key: String(i), count }
  })
  const members: [string, Uint8Array][] = []
  for (const { tensor, key, count } of all) {
    const data = new Uint8Array(4 * count)
    await f32Rows(tensor, tensor.form as PlainDType)(0, tensor.shape[0] ?? 1, data)
    members.push([`archive/data/${key}`, data])
  }
  const dict = all.map(({ name, tensor, key, count }) => {
    return [name, { shape: tensor.shape, key, count }] as const
  })
  await close()
  return zipped([["archive/data.pkl", pickled(Object.fromEntries(dict))], ...members])
}

const gguf = fixture("gguf/wide-a-q4_k_m.gguf")
copyFileSync(gguf, join(dir, "openelm-q4_k_m.gguf"))
copyFileSync(fixture("gguf/wide-a-q4_0.gguf"), join(dir, "openelm-q4_0.gguf"))
copyFileSync(fixture("data/tiny.model"), join(dir, "tokenizer.model"))
const checkpoint = await torchFile(gguf)
for (const name of ["average", "epoch_0_iter_1", "epoch_0_iter_2"]) {
  writeFileSync(join(dir, `checkpoint_${name}.pt`), checkpoint)
}

const page = readFileSync(join(root, "docs", "weights.md"), "utf8")
const blocks = [...page.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, block = ""]) => block)
const lines = blocks.flatMap((block) => block.trim().split("\n"))

for (const line of lines) {
  t.test(line, (t) => {
    const words = [...line.matchAll(/"([^"]*)"|\S+/g)].map(([word, text]) => text ?? word)
    const [npx, name, ...args] = words
    t.same([npx, name], ["npx", "elm"])
    const env = { ...process.env, NODE_OPTIONS: "" }
    const { status, stdout, stderr } = spawnSync(process.execPath, [elm, ...args], {
      ...{ cwd: dir, env, encoding: "utf8" },
    })
    t.equal(status, 0, stderr)
    t.ok(stdout.length > 0)
    t.end()
  })
}

t.test("what the page writes is there", (t) => {
  t.ok(lines.length > 8)
  for (const name of ["my-openelm/tokenizer.model", "my-average/config.json"]) {
    t.ok(existsSync(join(dir, name)), name)
  }
  t.end()
})
