// `elm convert` and `elm info` from outside.
import { execFileSync, spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { fixture } from "./fixtures.ts"
import t from "./tap.ts"

const elm = fileURLToPath(new URL("../elm.js", import.meta.url))
const dir = mkdtempSync(join(tmpdir(), "openelm-convert-cli-"))
t.teardown(() => rmSync(dir, { recursive: true }))

const run = (...args: string[]) =>
  spawnSync(process.execPath, [elm, ...args], {
    encoding: "utf8",
    env: { ...process.env, NODE_OPTIONS: "" },
  })

t.test("elm convert writes what elm generate reads, and refuses what is there", (t) => {
  const out = join(dir, "wide-hf")
  const source = fixture("gguf/wide-a-q4_k_m.gguf")
  const { status, stdout, stderr } = run("convert", source, out, "--to", "hf", "--dtype", "bf16")
  t.equal(status, 0, stderr)
  t.match(
    stdout,
    /^Wide A, 0\.5 M weights in bf16: .*wide-hf is a folder of the Hugging Face layout/,
  )
  t.same(readdirSync(out).sort(), ["config.json", "model.safetensors", "tokenizer.model"])
  const text = run("generate", "he", "--model", out, "--max-new-tokens", "3", "--threads", "1")
  t.equal(text.status, 0, text.stderr)

  const refusals: [string[], RegExp][] = [
    [[source, out, "--to", "hf", "--dtype", "f32"], /is not empty: it has config\.json/],
    [[source, source, "--to", "gguf", "--dtype", "f32"], /is there already/],
    [[source, join(dir, "x"), "--to", "hf", "--dtype", "q8"], /holds f32, f16, bf16, got q8/],
    [[join(dir, "none.pt"), join(dir, "x"), "--to", "hf", "--dtype", "f32"], /no such file/],
  ]
  for (const [args, message] of refusals) {
    const { status, stderr } = run("convert", ...args)
    t.equal(status, 1)
    t.match(stderr, message)
    t.notOk(existsSync(join(dir, "x")))
  }
  t.end()
})

t.test("a tokenizer that GGUF does not hold is refused, or left out", (t) => {
  const out = join(dir, "byte")
  const pt = fixture("pt/checkpoint_f32.pt")
  const to = (...more: string[]) =>
    run("convert", pt, `${out}.gguf`, "--to", "gguf", "--dtype", "f32", ...more)
  t.match(to("--tokenizer", "byte").stderr, /takes the tokenizer\.model .*--no-tokenizer/)
  t.equal(to("--no-tokenizer").status, 0)
  const { stderr } = run("convert", pt, out, "--to=hf", "--dtype=f32", "--tokenizer=byte")
  t.match(stderr, /the tokenizer has \d+ pieces, .*checkpoint_f32\.pt a vocabulary of 48/)
  t.end()
})

t.test("elm info says what a model is", (t) => {
  const source = fixture("gguf/wide-a-q4_k_m.gguf")
  const said = JSON.parse(
    execFileSync(process.execPath, [elm, "info", source, "--json"], { encoding: "utf8" }),
  )
  t.match(said, {
    schema: "elm-info/1",
    name: "Wide A",
    family: "openelm",
    format: "GGUF",
    parameters: 469_888,
    layers: [{ queryHeads: 4, keyHeads: 1, ffnDim: 256 }],
    tokenizer: { file: "tokenizer.model", pieces: 420 },
    files: [{ bytes: 335_296, sha256: /^[0-9a-f]{64}$/ }],
    memory: { weights: { f32: 1_920_512 }, cache: { f32: 65_536 } },
  })
  const { stdout } = run("info", fixture("pt/checkpoint_bf16.pt"), "--no-hashes")
  t.match(stdout, /^checkpoint_bf16: openelm, 5,872 parameters, a file of torch\.save\n/)
  t.match(stdout, /tensors: 18 BF16/)
  t.notMatch(stdout, /sha256/)
  t.match(run("info", fixture("pt/bad/os_system.pt")).stderr, /asks for posix\.system/)
  t.end()
})
