// `elm tokenizer` and `elm generate` with ids and tokenizers that do not fit: what they say, and how
// they end.
import { spawnSync } from "node:child_process"
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { loadTokenizer, shippedModel } from "../index.ts"
import { endsOf } from "./command.ts"
import t from "./tap.ts"

const elm = fileURLToPath(new URL("../elm.js", import.meta.url))
const small = await shippedModel()
const both = mkdtempSync(join(tmpdir(), "openelm-both-"))
cpSync(small, both, { recursive: true })
writeFileSync(join(both, "tokenizer.json"), (await loadTokenizer("byte")).file.bytes)
t.teardown(() => rmSync(both, { recursive: true }))

const run = (...args: string[]) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [elm, ...args], {
    encoding: "utf8",
  })
  return { status, stdout, stderr }
}

t.test("decode takes the ids that the tokenizer has, and no others", async (t) => {
  const decode = (...ids: string[]) => run("tokenizer", "decode", ...ids, "--tokenizer", small)
  const { vocabSize, encode } = await loadTokenizer(small)
  const ids = encode("It is a truth")
  t.match(decode(...ids.map(String)), { status: 0, stdout: "It is a truth\n" })
  t.match(decode(ids.join(","), ` ${ids.join("  ")} `).stdout, /^It is a truth It is a truth\n$/)
  t.equal(decode(`${vocabSize - 1}`).status, 0)
  const noIds = /Expected token ids, whole numbers from 0, got "/
  const beyond = new RegExp(`token ids lie in 0 … ${vocabSize - 1}, got `)
  const wrong = [
    ...["abc", "1e3", "1.5", "0x10", "NaN", "1,,b"].map((odd) => [odd, 2, noIds] as const),
    ...[vocabSize, 2 ** 53].map((id) => [`${id}`, 1, beyond] as const),
  ]
  const lines = wrong.map(([id]) => ["tokenizer", "decode", "5", id, "--tokenizer", small])
  for (const [i, { code, stdout, stderr }] of (await endsOf(lines)).entries()) {
    const [id, want, message] = wrong[i] as (typeof wrong)[number]
    t.same([code, stdout], [want, ""], id)
    t.match(stderr, message)
  }
})

t.test("of two tokenizers in a folder it is said which was read", async (t) => {
  const { status, stdout, stderr } = run("tokenizer", "encode", "It", "--tokenizer", both)
  t.same([status, stdout], [0, "73 116\n"])
  t.match(stderr, /^read tokenizer\.json of .*, not tokenizer\.model\n$/)
  t.equal(run("tokenizer", "encode", "It", "--tokenizer", small).stderr, "")
  const generated = run("generate", "It", "--model", both, "--max-new-tokens", "1", "--seed", "1")
  t.match(generated.stderr, /read tokenizer\.json of .*, not tokenizer\.model\n/)
})

t.test("a tokenizer of another vocabulary is an error, not silence", async (t) => {
  const { status, stderr } = run("generate", "It is", "--tokenizer", "byte", "--seed", "1")
  t.equal(status, 1)
  t.match(stderr, /\d+ of \d+ tokens of OpenELM-small, whose vocabulary is 4096, are none of the/)
})
