// Names of the hub and its environment, and the command that takes them.
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { hubNameOf } from "../model/files/hub/name.ts"
import { hubSettings } from "../model/files/hub/settings.ts"
import { treeOf } from "../model/files/source.ts"
import { elm, node } from "./command.ts"
import { hubFor } from "./hub_server.ts"
import t from "./tap.ts"

const run = (...args: string[]) => node(elm, ...args)

t.test("elm generate takes a repository, as the original's command does", async (t) => {
  const hub = await hubFor(t)
  const small = (file: string, isLarge = false) => ({
    [file]: { bytes: readFileSync(join("models/small", file)), isLarge },
  })
  const weights = { ...small("config.json"), ...small("model.safetensors", true) }
  const args = ["--max-new-tokens", "4", "--temperature", "0", "--prompt", "It is a truth"]
  hub.files = { ...weights, ...small("tokenizer.model") }
  const here = await run("generate", "--model", "models/small", ...args)
  t.equal(here.code, 0, here.stderr)
  const there = await run("generate", "--model", "org/m", "--hf_access_token", "hf_x", ...args)
  t.equal(there.stdout, here.stdout, there.stderr)
  t.match(hub.asked[0], /Bearer hf_x$/)
  t.notMatch(hub.contents.join(), /hf_x/)
  hub.files = weights
  const without = await run("generate", "--model", "apple/OpenELM-270M", ...args)
  t.equal(without.code, 1)
  t.match(without.stderr, /has no tokenizer.*Llama 2.*meta-llama\/Llama-2-7b-hf.*HF_TOKEN/)
  const nobody = await run("generate", "--model", "nobody/nothing", ...args)
  t.equal(nobody.code, 1)
  t.match(nobody.stderr, /no folder of that name is here, and the hub has no such repository/)
})

t.test("elm train begins with a repository's weights, and has its tokenizer", async (t) => {
  const hub = await hubFor(t)
  const out = t.testdir({ "text.txt": "It is a truth universally acknowledged. ".repeat(40) })
  const small = (file: string) => ({ [file]: { bytes: readFileSync(join("models/small", file)) } })
  const weights = { ...small("config.json"), ...small("model.safetensors") }
  const words = readFileSync("test/fixtures/data/tiny.model")
  hub.files = { ...weights, "tokenizer.model": { bytes: words } }
  const args = ["--data", join(out, "text.txt"), "--sequence-length", "16", "--batch-size", "1"]
  const more = ["--eval-every", "0", "--steps", "1", "--out"]
  const made = await run("train", "--init", "org/m", ...args, ...more, join(out, "run"))
  t.equal(made.code, 0, made.stderr)
  t.same(readFileSync(join(out, "run/step-00000001/tokenizer.model")), words)
  hub.files = weights
  const without = await run(
    "train",
    "--init",
    "apple/OpenELM-270M",
    ...args,
    ...more,
    join(out, "other"),
  )
  t.equal(without.code, 1)
  t.match(without.stderr, /apple\/OpenELM-270M has no tokenizer. .*Llama 2.*--tokenizer/s)
})

t.test("names of repositories", async (t) => {
  t.same(hubNameOf("apple/OpenELM-1_1B"), {
    repository: "apple/OpenELM-1_1B",
    revision: "main",
    file: undefined,
  })
  t.same(hubNameOf("hf:a/b@refs/pr/1"), {
    repository: "a/b",
    revision: "refs/pr/1",
    file: undefined,
  })
  t.same(hubNameOf("hf:a/b/c/d.gguf@v1"), { repository: "a/b", revision: "v1", file: "c/d.gguf" })
  for (const text of [
    "a",
    "./a/b",
    "../a",
    "/a/b",
    "a/b/c",
    "a//b",
    "C:\\a/b",
    "a/..",
    "a/b--c",
    "",
  ]) {
    t.equal(hubNameOf(text), undefined, text)
  }
  for (const text of ["hf:a", "hf:a/b/../c@..", "hf:/a/b"]) {
    t.throws(() => hubNameOf(text), RangeError, text)
  }
  const folder = t.testdir({ a: { b: { "config.json": "{}" } } })
  t.equal(treeOf(join(folder, "a/b")).path, join(folder, "a/b"))
})

t.test("settings of the environment", async (t) => {
  const home = t.testdir({ token: "hf_file\n" })
  const of = (environment: Record<string, string>) => hubSettings({ HF_HOME: home, ...environment })
  t.match(of({}), {
    endpoint: "https://huggingface.co",
    cache: join(home, "hub"),
    token: "hf_file",
    isOffline: false,
  })
  t.match(of({ HF_TOKEN: "hf_own", HF_HUB_OFFLINE: "yes" }), { token: "hf_own", isOffline: true })
  t.equal(of({ HUGGINGFACE_HUB_CACHE: "/x" }).cache, "/x")
  t.equal(of({ HF_HUB_CACHE: "/y", HUGGINGFACE_HUB_CACHE: "/x" }).cache, "/y")
  t.equal(hubSettings({ XDG_CACHE_HOME: "/z" }).cache, "/z/huggingface/hub")
  t.equal(of({ HF_ENDPOINT: "https://hub.example/" }).endpoint, "https://hub.example")
  t.throws(() => of({ HF_ENDPOINT: "hub" }), /HF_ENDPOINT is "hub"/)
  t.notOk(existsSync("/x"))
})
