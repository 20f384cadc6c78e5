// What stands between texts and a model, for the fuzzer: tokenizers of every family, chat templates, prompt
// caches.
import { cpSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { convert, loadTokenizer, OpenELM } from "../../index.ts"
import { tokenizerOfModel } from "../../model/index.ts"
import { fixture } from "../fixtures.ts"
import { config } from "../small.ts"
import { jsonBytes, modelBytes, withSpecials } from "../tokenizers.ts"
import type { Kind } from "./kind.ts"
import { backend, useModel } from "./model.ts"

const letters = "▁abcdefgh".split("")
const joinedPieces = ["▁a", "ab", "cd", "abcd", "▁abcd"]
const pieces = [...letters, ...joinedPieces].map((text, i) => ({ text, score: -i }))
const sample = "a abcd hgf\n<s> é 你好 \0"

async function useTokenizer(path: string): Promise<void> {
  const tokenizer = await loadTokenizer(path)
  const { bosId, eosId } = tokenizer
  tokenizer.decode(tokenizer.encode(sample, { bos: bosId >= 0, eos: eosId >= 0 }))
}

const sentencePiece: Kind = {
  name: "tokenizer.model",
  files: ["tokenizer.model"],
  make: (folder) =>
    writeFileSync(join(folder, "tokenizer.model"), modelBytes(withSpecials(pieces))),
  use: (folder) => useTokenizer(join(folder, "tokenizer.model")),
}

const llamaJson: Kind = {
  name: "tokenizer.json",
  files: ["tokenizer.json"],
  make(folder) {
    const vocab = withSpecials(pieces).map(({ text }) => text)
    const merges = ["▁ a", "a b", "c d", "ab cd", "▁a bcd"].slice(0, 4)
    const added = [
      { id: vocab.length, content: "<|x|>", special: false, lstrip: true, rstrip: true },
    ]
    const json = JSON.parse(Buffer.from(jsonBytes(vocab, merges)).toString())
    json.added_tokens.push(...added)
    writeFileSync(join(folder, "tokenizer.json"), JSON.stringify(json))
  },
  use: useTokenizer,
}

/** A tokenizer of byte-level merging in its folder. */
const byteLevel = (family: string, ...files: string[]): Kind => ({
  name: `bytes of ${family}`,
  files,
  make: (folder) => cpSync(fixture(`bpe/${family}`), folder, { recursive: true }),
  use: useTokenizer,
})

const rows = { ...config, vocabSize: 640 }

const byteLevelGguf: Kind = {
  name: "bytes in GGUF",
  files: ["bytes.gguf"],
  async make(folder) {
    const source = join(folder, "source")
    const tokenizer = fixture("bpe/gpt2")
    const model = await OpenELM.random(rows, { backend, tokenizer })
    await model.save(source)
    await model.close()
    await convert(source, join(folder, "bytes.gguf"), { to: "gguf", dtype: "f16" })
  },
  async use(folder) {
    const path = join(folder, "bytes.gguf")
    const tokenizer = await tokenizerOfModel(path)
    tokenizer?.decode(tokenizer.encode(sample))
    await useModel(path)
  },
}

const template = `{% for message in messages %}{% if message.role == "system" %}
{{ raise_exception("no role system") }}{% endif %}{{ bos_token + message["content"] | trim }}
{%- if not loop.last %}{{ eos_token }}{% endif %}{% endfor %}{% set n = 3 %}{{ n * 7 }}`

const chat: Kind = {
  name: "chat templates",
  files: ["chat_template.jinja", "tokenizer_config.json"],
  async make(folder) {
    const model = await OpenELM.random(rows, { backend, tokenizer: fixture("bpe/gpt2") })
    await model.save(folder)
    await model.close()
    writeFileSync(join(folder, "chat_template.jinja"), template)
    const tokens = { bos_token: { content: "<|endoftext|>" }, eos_token: "<|endoftext|>" }
    const named = [{ name: "default", template }]
    writeFileSync(
      join(folder, "tokenizer_config.json"),
      JSON.stringify({ ...tokens, chat_template: named }),
    )
  },
  async use(folder) {
    const model = await OpenELM.load(folder, { backend })
    try {
      await model.completeChat([{ role: "user", content: "Hi" }], { maxNewTokens: 1 })
    } finally {
      await model.close()
    }
  },
}

let kept: Promise<OpenELM> | undefined
/** A model that is made once: a prompt cache belongs to its weights. */
const keptModel = (): Promise<OpenELM> => {
  kept ??= OpenELM.random(config, { backend, seed: 3, capacity: 32, cache: "q8" })
  return kept
}

const promptCache: Kind = {
  name: "prompt cache",
  files: ["kept.safetensors"],
  async make(folder) {
    const model = await keptModel()
    using cache = model.promptCache()
    await model.complete([1, 2, 3, 4], { maxNewTokens: 3, promptCache: cache })
    await cache.save(join(folder, "kept.safetensors"))
  },
  async use(folder) {
    const model = await keptModel()
    using cache = model.promptCache()
    await cache.load(join(folder, "kept.safetensors"))
    await model.complete([1, 2, 3, 4, 5], { maxNewTokens: 2, promptCache: cache })
  },
}

export const textKinds: readonly Kind[] = [
  sentencePiece,
  llamaJson,
  byteLevel("neox", "tokenizer.json"),
  byteLevel("opt", "vocab.json", "merges.txt", "tokenizer_config.json"),
  byteLevelGguf,
  chat,
  promptCache,
]
