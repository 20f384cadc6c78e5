// Chat templates as files carry them, from one format into another.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { convert, OpenELM, open } from "../index.ts"
import { fixture } from "./fixtures.ts"
import { config } from "./small.ts"
import t from "./tap.ts"

const dir = mkdtempSync(join(tmpdir(), "openelm-templates-"))
t.teardown(() => rmSync(dir, { recursive: true }))
const backend = await open("wasm", { threads: 1 })
t.teardown(() => backend.close())

let count = 0
/** Writes a model in a format under a new name, which is returned. */
async function written(from: string, to: "gguf" | "hf" | "elm"): Promise<string> {
  const path = join(dir, `${count++}${to === "gguf" ? ".gguf" : ""}`)
  await convert(from, path, { to, dtype: "f32", backend })
  return path
}

t.test("chat templates go with a model into every format, and come back", async (t) => {
  const usual = "{{ bos_token }}{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}"
  const named = [
    { name: "default", template: usual },
    { name: "tool_use", template: "{{ messages[0].content }}" },
  ]
  const tokenizer = fixture("data/tiny.model")
  const cases = [
    { "chat_template.jinja": usual },
    { "tokenizer_config.json": JSON.stringify({ eos_token: "<unk>", chat_template: named }) },
  ]
  for (const files of cases) {
    const folder = join(dir, `${count++}`)
    await using made = await OpenELM.random({ ...config, vocabSize: 424 }, { backend, tokenizer })
    await made.save(folder)
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
    const messages = [{ role: "user", content: "The river" }]
    const answerOf = async (path: string) => {
      await using model = await OpenELM.load(path, { backend })
      const { ids } = await model.completeChat(messages, { maxNewTokens: 3 })
      return { ids, templates: [...(await model.chatTemplates())] }
    }
    const gguf = await written(folder, "gguf")
    const hf = await written(gguf, "hf")
    const want = await answerOf(folder)
    t.equal(want.templates.length, Object.keys(files)[0] === "chat_template.jinja" ? 1 : 2)
    for (const path of [gguf, hf, await written(hf, "elm")]) {
      t.same(await answerOf(path), want, path)
    }
    await using model = await OpenELM.load(gguf, { backend })
    const saved = join(dir, `${count++}`)
    await model.save(saved)
    t.same(await answerOf(saved), want, "saved")
    const other = join(dir, `${count++}`)
    await using none = await OpenELM.random(model.config, { backend })
    await none.save(other)
    writeFileSync(join(other, "chat_template.jinja"), usual)
    await t.rejects(none.save(other), /holds a chat_template.jinja, which would be read for this/)
  }
})
