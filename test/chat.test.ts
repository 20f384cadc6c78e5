// Conversations: templates as transformers has them, the tokens of a text that a template made, and prompt
// caches, over which each turn reads what is new alone.
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type ChatMessage, loadTokenizer, OpenELM, open, scaledConfig } from "../index.ts"
import { type TemplateOptions as Options, rendered } from "../model/chat/template.ts"
import { type ChatTemplates, noTemplates, templatesOf } from "../model/chat/templates.ts"
import { templatesIn } from "../model/checkpoints/gguf/templates.ts"
import { treeOf } from "../model/index.ts"
import { allBackends } from "./backends.ts"
import { fixture } from "./fixtures.ts"
import { writeSmallModel } from "./small_folder.ts"
import t from "./tap.ts"

const byte = await loadTokenizer("byte")
const config = scaledConfig({
  ...{ name: "small", layers: 2, modelDim: 64, headDim: 16, vocabSize: 260 },
  ...{ maxContext: 1024, queryHeadsPerKeyHead: 2 },
})
const hello: readonly ChatMessage[] = [
  { role: "system", content: "Be brief." },
  { role: "user", content: " Hello  " },
]

/** As Hugging Face's documentation has it, with the blocks on lines of their own. */
const chatML = `{% for message in messages %}
    {{- '<|im_start|>' + message['role'] + '\n' + message['content'] | trim + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}`
const strict = `{{ bos_token }}{% for m in messages %}{% if m.role not in ['user', 'assistant'] %}
{{ raise_exception('no role ' + m.role) }}{% endif %}[{{ m.content }}]{{ eos_token }}{% endfor %}`

const withTemplate = (...named: [string, string][]): ChatTemplates => ({
  ...{ ...noTemplates, source: "made", named: new Map(named) },
})
const textOf = async (templates: ChatTemplates, options: Options = {}, messages = hello) =>
  (await rendered(messages, templates, options)).text

t.test(
  "messages are rendered by templates of Jinja, or as for OpenELM's instruct models",
  async (t) => {
    t.equal(
      await textOf(noTemplates),
      "<|system|>\nBe brief.</s>\n<|user|>\n Hello  </s>\n<|assistant|>\n",
    )
    const [, user] = hello as [ChatMessage, ChatMessage]
    const led = "<|system|>\n</s>\n<|user|>\n Hello  </s>\n"
    t.equal(await textOf(noTemplates, { addGenerationPrompt: false }, [user]), led)
    const all = withTemplate(["default", chatML], ["strict", strict])
    const want = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n"
    t.equal(await textOf(all, { addGenerationPrompt: false }), want)
    t.equal(await textOf(all), `${want}<|im_start|>assistant\n`)
    t.equal(await textOf(all, { chatTemplate: "strict" }, [user]), "<s>[ Hello  ]</s>")
    t.equal(await textOf(noTemplates, { chatTemplate: strict }, [user]), "<s>[ Hello  ]</s>")
    const dated = await textOf(noTemplates, { chatTemplate: "{{ strftime_now('%Y') }}" })
    t.match(dated, /^\d{4}$/)
    const thought = { chatTemplate: "{{ thinking }}", templateValues: { thinking: "yes" } }
    t.equal(await textOf(noTemplates, thought), "yes")
  },
)

t.test("a template's ranges are Jinja's, and end before memory does", async (t) => {
  const made = (chatTemplate: string) => textOf(noTemplates, { chatTemplate })
  const list = (range: string) => `\n  {% for i in ${range} %}{{ i }} {% endfor %}\n`
  // As the interpreter has them by itself.
  const cases = [
    ["range(3)", "\n0 1 2 "],
    ["range(4, 0, -2)", "\n4 2 "],
    ["range(2, 9, 3)", "\n2 5 8 "],
    ["range(5, 2)", "\n"],
  ] as const
  for (const [range, want] of cases) t.equal(await made(list(range)), want, range)
  t.equal(await made("  {% if 1 %}a{% endif %}"), "a", "it begins as it would without them")
  const many = { name: "Error", message: /refuses .*: its ranges have more than 100000 numbers/ }
  await t.rejects(made(list("range(1000000000)")), many)
  await t.rejects(made(list("range(1, 9, 0)")), many)
  const nested = "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}"
  await t.rejects(made(nested), many)
})

t.test("what is wrong with a template or with messages is said once", async (t) => {
  const cases: readonly [Options, string, RegExp][] = [
    [{ chatTemplate: "strict" }, "Error", /^the chat template of made refuses .*: no role system$/],
    [
      { chatTemplate: "{% for %}" },
      "SyntaxError",
      /^the chat template that was given is not Jinja/,
    ],
    [
      { chatTemplate: "{{ messages | nonesuch }}" },
      "Error",
      /^the chat template that was given refuses /,
    ],
    [
      { chatTemplate: "{% if false %}x{% endif %}" },
      "Error",
      /^the chat template that was given makes no text/,
    ],
    [{ chatTemplate: "other" }, "RangeError", /no template "other"\. The model has: "strict"/],
    [{ chatTemplate: 3 as never }, "TypeError", /chatTemplate is 3, expected a text/],
    [{}, "RangeError", /no template "default"\. The model has: "strict"\. Give one/],
  ]
  for (const [options, name, message] of cases) {
    await t.rejects(textOf(withTemplate(["strict", strict]), options), { name, message })
  }
  await using backend = await open("js")
  await using model = await OpenELM.random(config, { backend, tokenizer: byte })
  const wrong: readonly [unknown, string, RegExp][] = [
    ["Hello", "TypeError", /the messages are "Hello", expected a list/],
    [[], "RangeError", /there are no messages/],
    [[{ role: "user" }], "TypeError", /messages\[0\]\.content is missing, expected a text/],
    [["Hello"], "TypeError", /messages\[0\] is "Hello", expected \{ role, content \}/],
  ]
  for (const [messages, name, message] of wrong) {
    await t.rejects(model.completeChat(messages as ChatMessage[]), { name, message })
  }
  await using mute = await OpenELM.random(config, { backend, tokenizer: null })
  await t.rejects(mute.chat(hello).next(), { name: "TypeError", message: /has no tokenizer/ })
})

t.test(
  "a folder's templates: a file of one, a text or a list in tokenizer_config.json",
  async (t) => {
    const dir = t.testdir({})
    const put = (name: string, value: unknown) =>
      writeFileSync(join(dir, name), typeof value === "string" ? value : JSON.stringify(value))
    const read = () => templatesOf(treeOf(dir), undefined)
    t.same((await read()).named, new Map())
    put("tokenizer_config.json", { chat_template: chatML, eos_token: { content: "<end>" } })
    t.same((await read()).named, new Map([["default", chatML]]))
    t.match(await read(), { bosToken: "<s>", eosToken: "<end>" })
    const list = [
      { name: "default", template: chatML },
      { name: "tool_use", template: strict },
    ]
    put("tokenizer_config.json", { chat_template: [{ name: "default" }] })
    await t.rejects(read(), {
      name: "TypeError",
      message: /chat_template is \[an object\], expected/,
    })
    put("tokenizer_config.json", { chat_template: list })
    t.same([...(await read()).named.keys()], ["default", "tool_use"])
    put("chat_template.jinja", strict)
    t.same((await read()).named, new Map([["default", strict]]))
    const key = "tokenizer.chat_template"
    const carried = templatesIn(
      new Map([
        [key, chatML],
        [`${key}.tool_use`, strict],
      ]),
      "a.gguf",
    )
    t.same([...(carried?.named.keys() ?? [])], ["default", "tool_use"])
    t.same((await templatesOf(treeOf(dir), carried)).named.get("default"), chatML)
    t.throws(() => templatesIn(new Map([[key, 3]]), "a.gguf"), { message: /is 3, expected a text/ })
  },
)

t.test("a model that is loaded goes by the template of its folder", async (t) => {
  const dir = t.testdir({ "chat_template.jinja": strict })
  await writeSmallModel(dir)
  await using backend = await open("js")
  await using model = await OpenELM.load(dir, { backend })
  t.same([...(await model.chatTemplates()).keys()], ["default"])
  const options = { maxNewTokens: 4 }
  const { ids } = await model.completeChat([{ role: "user", content: "Hi" }], options)
  const prompt = byte.encode("<s>[Hi]</s>", { special: true })
  t.same(ids, (await model.complete(prompt, options)).ids)
  await t.rejects(model.completeChat(hello), /refuses these messages: no role system$/)
})

t.test("texts of control tokens make those where that is asked for", async (t) => {
  const pieces = await loadTokenizer(fixture("data/tiny.model"))
  const text = "<s>The river</s>\n<unk>"
  const part = (each: string) => pieces.encode(each)
  const want = [1, ...part("The river"), 2, ...part("\n"), 0]
  t.same(pieces.encode(text, { special: true }), want)
  t.notMatch(pieces.encode(text), [1])
  t.same(byte.encode("<s>a</s>", { special: true, bos: true }), [256, 256, 97, 257])
  t.same(byte.encode("</s>").length, 4)
})

t.test("each turn over a prompt cache reads what is new alone, and answers alike", async (t) => {
  await using backend = await open("wasm", { threads: 1 })
  await using model = await OpenELM.random(config, { backend, tokenizer: byte, seed: 3 })
  using promptCache = model.promptCache()
  const options = { temperature: 1, maxNewTokens: 12 }
  const messages: ChatMessage[] = [...hello]
  let ids: number[] = []
  for (const [turn, content] of ["", "And then?", "Why so?"].entries()) {
    if (content) messages.push({ role: "user", content })
    const before = promptCache.readTokens
    let [text, count] = ["", 0]
    const rest = turn === 0 ? (await rendered(messages, noTemplates, {})).text : ""
    const fresh = turn === 0 ? [256, ...byte.encode(rest, { special: true })] : []
    const isEnded = ids.at(-1) === byte.eosId
    const more = byte.encode(`</s>\n<|user|>\n${content}</s>\n<|assistant|>\n`, { special: true })
    ids = turn === 0 ? fresh : [...ids, ...(isEnded ? more.slice(1) : more)]
    const alone = await model.complete(ids, { ...options, seed: turn })
    const chosen: number[] = []
    for await (const token of model.chat(messages, { ...options, promptCache, seed: turn })) {
      text += token.text
      count++
      chosen.push(token.id)
    }
    t.same(chosen, alone.ids, `turn ${turn}`)
    // The last token of an answer is read with the next turn.
    const unread = turn === 0 ? fresh.length : 1 + more.length - (isEnded ? 1 : 0)
    t.equal(promptCache.readTokens - before, unread + count - 1, `positions of turn ${turn}`)
    messages.push({ role: "assistant", content: text })
    ids.push(...chosen)
  }
  const whole = await model.completeChat([...messages, { role: "user", content: "So?" }], {
    ...{ ...options, promptCache },
  })
  t.equal(whole.usage.cachedTokens, ids.length - 1)
})

t.test("a prompt cache serves what begins alike, one at a time, and its own model", async (t) => {
  await using backend = await open("wasm", { threads: 1 })
  await using model = await OpenELM.random(config, { backend, tokenizer: byte, seed: 3 })
  await using other = await OpenELM.random(config, { backend, tokenizer: byte, seed: 3 })
  const promptCache = model.promptCache()
  const prefix = byte.encode("A long beginning that all of them have: ")
  for (const end of ["one", "two", "one"]) {
    const prompt = [...prefix, ...byte.encode(end)]
    for (const way of [{}, { logprobs: 1 }, { promptLookupNumTokens: 3 }]) {
      const { ids, usage } = await model.complete(prompt, { ...way, maxNewTokens: 5, promptCache })
      t.same(ids, (await model.complete(prompt, { ...way, maxNewTokens: 5 })).ids, end)
      if (end !== "one") t.ok((usage.cachedTokens ?? 0) >= prefix.length)
    }
  }
  const stream = model.generate(prefix, { promptCache })
  await stream.next()
  await t.rejects(model.complete(prefix, { promptCache }), /promptCache is in use/)
  await stream.return()
  await t.rejects(other.complete(prefix, { promptCache }), /promptCache is another model's/)
  const two = { name: "TypeError", message: /a prompt cache is of one continuation/ }
  await t.rejects(model.complete([prefix, prefix], { promptCache }), two)
  await t.rejects(
    model.complete(prefix, { promptCache: {} as never }),
    /model\.promptCache\(\) made/,
  )
  promptCache.close()
  await t.rejects(model.complete(prefix, { promptCache }), /promptCache is closed/)
})

for (const { label, open } of allBackends) {
  t.test(`a prompt cache goes into a file and comes back, on ${label}`, async (t) => {
    const path = join(t.testdir({}), "kept.safetensors")
    const backend = await open()
    t.teardown(() => backend.close())
    // One form of caches for each backend.
    const cache = label === "js" ? "f16" : label === "webgpu" ? "f32" : "q8"
    const made = { backend, tokenizer: byte, capacity: 256, cache } as const
    await using model = await OpenELM.random(config, { ...made, seed: 3 })
    const prompt = byte.encode("What was read once is not read again. So")
    const options = { maxNewTokens: 4 }
    using promptCache = model.promptCache()
    const first = await model.complete(prompt, { ...options, promptCache })
    await promptCache.save(path)
    using again = model.promptCache()
    await again.load(path)
    t.same(again.ids, [...prompt, ...first.ids.slice(0, -1)])
    const answer = await model.complete(prompt, { ...options, promptCache: again })
    t.same(answer.ids, first.ids)
    t.equal(answer.usage.cachedTokens, prompt.length - 1)
    t.equal(again.readTokens, 1 + 3)
    if (label !== "js") return
    const bytes = readFileSync(path)
    const wrong = Uint8Array.from(bytes)
    wrong[bytes.length - 2] = (wrong[bytes.length - 2] as number) ^ 1
    const damaged = join(t.testdir({}), "damaged.safetensors")
    writeFileSync(damaged, wrong)
    await t.rejects(again.load(damaged), { name: "SyntaxError", message: /damaged: its content/ })
    writeFileSync(damaged, bytes.subarray(0, 900))
    await t.rejects(again.load(damaged), { name: "SyntaxError", message: /no.* safetensors/ })
    writeFileSync(path, bytes)
    t.equal((await model.complete(prompt, { ...options, promptCache: again })).text, first.text)
    const others = [
      [{ seed: 4 }, /holds keys and values of other weights than those of small/],
      [{ seed: 3, cache: "f32" }, /keys and values in "f16", expected f32/],
      [{ seed: 3, dtype: "bf16" }, /of the same in another dtype/],
      [{ seed: 3, capacity: 20 }, /holds 43 tokens, and the cache 20 positions/],
    ] as const
    for (const [options, message] of others) {
      await using other = await OpenELM.random(config, { ...made, ...options })
      using cache = other.promptCache()
      await t.rejects(cache.load(path), { name: "RangeError", message })
    }
    await t.rejects(again.load(join(path, "none")), /Cannot open/)
    await t.rejects(again.save(join(path, "none")), /Cannot write/)
  })
}
