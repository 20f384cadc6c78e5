// What is no argument is refused where it is given, by name: no TypeError comes from inside. Every
// function of the package is called with each of its arguments wrong in turn.
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import * as openelm from "../index.ts"
import { config } from "./small.ts"
import t from "./tap.ts"
import { relativeError } from "./tolerance.ts"

const { OpenELM, Tensor } = openelm
const backend = await openelm.open("js")
const small = { ...config, layers: 1 }
const sizes = { layers: 1, modelDim: 32, headDim: 16, vocabSize: 64, maxContext: 32 }
const model = await OpenELM.random(openelm.scaledConfig(sizes), { backend })
const step = await openelm.createTrainStep(model)
const service = openelm.createService(model)
const tokenizer = await openelm.loadTokenizer("byte")
const shipped = await openelm.shippedModel()
const dir = mkdtempSync(join(tmpdir(), "openelm-arguments-"))
t.teardown(async () => {
  await step.close()
  await model.close()
  backend.close()
  rmSync(dir, { recursive: true })
})
await model.save(join(dir, "model"))
const adapter = await openelm.addAdapter(model, { rank: 1 })
await adapter.save(join(dir, "adapter"))
model.adapter = undefined
const dataFile = join(dir, "data.yaml")
writeFileSync(join(dir, "text.txt"), "some text\n")
writeFileSync(dataFile, "sources: [text.txt]\ntokenizer: byte\nsequence_length: 8\n")

const x = openelm.constant([1, 2], [2])
const buffer = backend.alloc(8)
const update = [openelm.bound(buffer, [2]), x] as const
const settings = await openelm.trainingSettings({
  ...{ layers: 1, dim: 32, headDim: 16, data: dataFile, out: join(dir, "run") },
  ...{ tokenizer: "byte", steps: 1, warmupSteps: 0 },
})

interface Called {
  call(...args: never[]): unknown
  readonly args: readonly unknown[]
  /** What each argument is called. */
  readonly names: readonly RegExp[]
}

const of = (call: Called["call"], args: readonly unknown[], names: readonly RegExp[]): Called => ({
  call,
  args,
  names,
})

const asked = {
  ...{ name: "own", version: 0, metrics: ["word_perplexity"], content: () => "a b" },
  source: { splits: { test: "test" }, rows: { test: [{ a: 1 }] }, read: (row: object) => row },
}
const taskFile = join(dir, "task.yaml")
writeFileSync(
  taskFile,
  "task: own\noutput_type: loglikelihood_rolling\ntest_split: test\ndoc_to_target: text\n",
)
const turn = (role: string, content: string) => ({ role, content })
const answers = [turn("user", "a"), turn("assistant", "b")]
const preferred = { chosen: answers, rejected: answers }
const loss = openelm.ops.sum(openelm.ops.mul(x, x))
const rows = [[1, 2]]

/** A socket is closed again. */
const listened = async (...args: Parameters<typeof openelm.listen>): Promise<void> =>
  (await openelm.listen(...args)).close()

/** Every function, with arguments that are right and what messages say of those that are not. */
const table: Readonly<Record<string, Called>> = {
  evaluate: of(
    openelm.evaluate,
    [model, { tasks: [openelm.perplexityTask(asked)] }],
    [/model/, /options/],
  ),
  generationTask: of(
    openelm.generationTask,
    [{ ...asked, metrics: ["exact_match"], text: () => "a", answers: () => ["b"] }],
    [/declaration/],
  ),
  loadTask: of(openelm.loadTask, [taskFile], [/path/]),
  logLikelihoodTask: of(
    openelm.logLikelihoodTask,
    [{ ...asked, metrics: ["acc"], text: () => "a", continuation: () => "b" }],
    [/declaration/],
  ),
  multipleChoice: of(
    openelm.multipleChoice,
    [{ ...asked, metrics: ["acc"], choices: () => ["a", "b"], gold: () => 0, columns: {} }],
    [/declaration/],
  ),
  perplexityTask: of(openelm.perplexityTask, [asked], [/declaration/]),
  regexFilter: of(openelm.regexFilter, ["number", /\d+/g], [/name/, /pattern/]),
  addAdapter: of(openelm.addAdapter, [model, { rank: 1 }], [/model/, /options/]),
  loadAdapter: of(
    openelm.loadAdapter,
    [model, join(dir, "adapter"), {}],
    [/model/, /folder/, /options/],
  ),
  mergeAdapter: of(openelm.mergeAdapter, [model, adapter, {}], [/model/, /adapter/, /options/]),
  allocate: of(openelm.allocate, [backend, [2], "f32", x], [/backend/, /shape/, /dtype/, /near/]),
  bound: of(openelm.bound, [buffer, [2], "f32", 0], [/buffer/, /shape/, /dtype/, /offset/]),
  configOf: of(openelm.configOf, ["270M", {}], [/size/, /changes/]),
  convert: of(
    openelm.convert,
    [shipped, join(dir, "converted"), { to: "hf", dtype: "f32" }],
    [/folder/, /target/, /options/],
  ),
  describeModel: of(openelm.describeModel, [shipped, {}], [/folder/, /options/]),
  constant: of(openelm.constant, [[1], [1], "f32"], [/values/, /shape/, /dtype/]),
  cosineRate: of(openelm.cosineRate, [1, { lr: 1e-3, total: 9 }], [/update/, /schedule/]),
  createPreferenceStep: of(openelm.createPreferenceStep, [model, {}], [/model/, /options/]),
  instructionText: of(openelm.instructionText, [{ instruction: "a", output: "b" }], [/record/]),
  numpyPermutation: of(openelm.numpyPermutation, [42, 3], [/seed/, /n must/]),
  torchPermutation: of(openelm.torchPermutation, [42, 3], [/seed/, /n must/]),
  preferenceTexts: of(openelm.preferenceTexts, [preferred], [/record/]),
  tune: of(
    openelm.tune,
    ["sft", { data: "x.jsonl", out: dir }, {}],
    [/objective/, /settings|fields|a tuning/, /options/],
  ),
  rejectionTune: of(
    openelm.rejectionTune,
    [{ data: "x.jsonl", out: dir }, {}],
    [/settings|fields/, /options/],
  ),
  tokenizePreference: of(
    openelm.tokenizePreference,
    [preferred, tokenizer, {}],
    [/record/, /tokenizer/, /limits/],
  ),
  rankPairs: of(openelm.rankPairs, [[1, 2], [0, 1], "tournament"], [/rewards/, /order/, /how/]),
  rejectionSample: of(
    openelm.rejectionSample,
    [{ texts: ["a"], rewards: [1], k: 1 }],
    [/argument/],
  ),
  createService: of(openelm.createService, [model, {}], [/model/, /options/]),
  listen: of(listened, [service, { port: 0 }], [/service/, /options/]),
  createTrainStep: of(openelm.createTrainStep, [model, {}], [/model/, /options/]),
  grad: of(openelm.grad, [loss, [x]], [/loss/, /wrt|tensors/]),
  learningRate: of(
    openelm.learningRate,
    [{ maxLr: 1, minLr: 0, warmupInitLr: 0, warmupSteps: 1, maxSteps: 9 }, 1],
    [/schedule/, /step/],
  ),
  loadDataConfig: of(openelm.loadDataConfig, [dataFile], [/path|data/]),
  loadTokenizer: of(openelm.loadTokenizer, ["byte"], [/path|"byte"/]),
  lossAndGradients: of(
    openelm.lossAndGradients,
    [model, rows, rows, {}],
    [/model/, /inputs/, /targets/, /options/],
  ),
  open: of(openelm.open, ["js", {}], [/backend/, /options/]),
  parameterCount: of(openelm.parameterCount, [small], [/config/]),
  parseTokenizer: of(openelm.parseTokenizer, [tokenizer.file.bytes, "a file"], [/bytes/, /source/]),
  plan: of(openelm.plan, [[update], backend], [/updates/, /backend/]),
  publishedConfig: of(openelm.publishedConfig, ["Pythia-1.4B"], [/name/]),
  ranksInMemory: of(openelm.ranksInMemory, [2], [/size/]),
  read: of(openelm.read, [x, backend], [/tensor/, /backend/]),
  readBound: of(openelm.readBound, [update[0], backend], [/tensor/, /backend/]),
  runOnce: of(openelm.runOnce, [backend, [update]], [/backend/, /updates/]),
  scaledConfig: of(openelm.scaledConfig, [sizes], [/config|spec/]),
  textPipeline: of(openelm.textPipeline, [dataFile, {}], [/data|config/, /options/]),
  train: of(openelm.train, [settings, { backend }], [/settings/, /options|backend/]),
  trainingSettings: of(openelm.trainingSettings, [{}], [/settings/]),
  "OpenELM.load": of(OpenELM.load, [join(dir, "model"), { backend }], [/folder/, /options/]),
  "OpenELM.random": of(OpenELM.random, [small, { backend }], [/size/, /options/]),
  "model.activations": of((ids) => model.activations(ids), [rows], [/rows of token ids/]),
  "model.generate": of(
    (ids, options) => model.generate(ids, options),
    [[1], { maxNewTokens: 1 }],
    [/prompt/, /options/],
  ),
  "model.complete": of(
    (ids, options) => model.complete(ids, options),
    [[1], { maxNewTokens: 1 }],
    [/prompt/, /options/],
  ),
  "model.logits": of((ids) => model.logits(ids), [rows], [/rows of token ids/]),
  "model.save": of(
    (folder, options) => model.save(folder, options),
    [join(dir, "saved"), {}],
    [/folder/, /options/],
  ),
  step: of(step as never, [rows, rows, { lr: 0 }], [/inputs/, /targets/, /options/]),
  "tokenizer.decode": of((ids) => tokenizer.decode(ids), [[1]], [/ids/]),
  "tokenizer.encode": of(
    (text, options) => tokenizer.encode(text, options),
    ["a", {}],
    [/text/, /options/],
  ),
}

t.test("the table has every function", (t) => {
  const isClass = (value: unknown) => value === OpenELM || value === Tensor
  const without = ["ContextLengthError", "DeviceLostError", "HubError", "shippedModel"]
  const names = Object.entries(openelm)
    .filter(([, value]) => typeof value === "function" && !isClass(value))
    .map(([each]) => each)
    .filter((each) => !without.includes(each))
  t.same(
    names.filter((name) => !table[name]),
    [],
  )
  t.end()
})

const messageOf = async (each: Called, args: readonly unknown[]): Promise<string> => {
  try {
    const found = await each.call(...(args as never[]))
    // A stream says it when it is asked.
    if (found && typeof found === "object" && "next" in found) {
      const stream = found as AsyncGenerator
      await stream.next()
      await stream.return(undefined)
    }
    return ""
  } catch (error) {
    return `${(error as Error).name}: ${(error as Error).message}`
  }
}

const inside =
  /Cannot (read|destructure|convert|use|mix)|is not (a function|iterable|a constructor)|undefined \(|reading '|Symbol\(|ERR_INVALID/

for (const [name, each] of Object.entries(table)) {
  t.test(name, async (t) => {
    const { args, names } = each
    for (const [i, expected] of names.entries()) {
      for (const wrong of [null, 5, true, [], {}, () => 1]) {
        const given = args.map((arg, n) => (n === i ? wrong : arg))
        const found = await messageOf(each, given)
        t.notMatch(found, inside, `argument ${i} as ${String(JSON.stringify(wrong))}: ${found}`)
        if (wrong === null) t.match(found, expected, `argument ${i} as null: ${found}`)
      }
    }
  })
}

t.test("save takes what load takes, but for what nothing can be written to", async (t) => {
  const want = await model.logits(rows)
  const url = pathToFileURL(join(dir, "by url ü"))
  for (const folder of [join(dir, "by path"), url, url.href]) {
    await model.save(folder)
    const loaded = await OpenELM.load(folder, { backend })
    // The backend's numbers are of float64, the file's of f32.
    t.ok(relativeError(await loaded.logits(rows), want) < 1e-5)
    await loaded.close()
  }
  const before = [readdirSync(dir), readdirSync(".")]
  const addresses = ["http://a.b/c", "https://a.b/c", "hf://a/b", "HTTP://a.b", "http:/c"]
  for (const address of addresses) {
    const refused = {
      name: "RangeError",
      message:
        /^save: the folder is "h.*to which nothing can be written\. Give a path or a file: URL/i,
    }
    await t.rejects(model.save(address), refused)
    if (address.includes("//")) await t.rejects(model.save(new URL(address)), refused)
    const out = { ...settings, out: address }
    await t.rejects(openelm.trainingSettings(out), { message: /^settings: out is "h/i })
  }
  await t.rejects(model.save(""), { name: "RangeError", message: /the folder is empty/ })
  await t.rejects(model.save(dir, { dtype: "f8" as never }), {
    name: "RangeError",
    message: 'save: dtype must be one of f32, f16, bf16, got "f8"',
  })
  t.same([readdirSync(dir), readdirSync(".")], before, "and nothing is made")
})
