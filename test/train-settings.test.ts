// Settings of training: the configurations of the package, flags, and what cannot be together.
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { open, train, trainingSettings } from "../index.ts"
import { parseYaml } from "../model/files/yaml.ts"
import { learningRate, type Schedule, scheduleOf } from "../train/run/schedule.ts"
import {
  checkSettings,
  fieldsOfFile,
  parseValue,
  shortened,
  withFlags,
} from "../train/run/settings.ts"
import { codeName, fromFile, inFile, toFile } from "../train/spelling.ts"
import { fixtureJson } from "./fixtures.ts"
import t from "./tap.ts"

const folder = fileURLToPath(new URL("../../train/configs", import.meta.url))
const settingsIn = async (name: string) => {
  const fields = await parseYaml(readFileSync(join(folder, name), "utf8"), name)
  return checkSettings(fieldsOfFile(fields, name), name, inFile)
}

t.test("every configuration of the package is one", async (t) => {
  const names = readdirSync(folder).filter((name) => name.endsWith(".yaml"))
  t.ok(names.length >= 7, names.join(" "))
  for (const name of names) await t.resolves(settingsIn(name), name)
})

t.test("the release's configurations have the release's schedules", async (t) => {
  const { schedules } = fixtureJson("ops/lr_schedule.json")
  for (const size of ["270M", "450M", "1_1B", "3B"]) {
    const wanted = schedules[`pretrain_${size}`]
    t.match(scheduleOf(await settingsIn(`openelm-${size.toLowerCase()}.yaml`)), {
      maxLr: wanted.max_lr,
      minLr: wanted.min_lr,
      warmupInitLr: wanted.warmup_init_lr,
      warmupSteps: wanted.warmup_iterations,
      maxSteps: wanted.max_iterations,
    })
  }
})

t.test("a field is camelCase in code and as the release's in files, and errors say it so", (t) => {
  const data = { sources: [{ file_name: "a.txt", text_key: "x" }], hold_out: 0.1 }
  const file = { model: "270M", batch_size: 4, z_loss: 0, data }
  const settings = checkSettings(fieldsOfFile(file, "a.yaml"), "a.yaml", inFile)
  t.match(settings, { batchSize: 4, zLoss: 0 })
  t.same(settings.data, { sources: [{ fileName: "a.txt", textKey: "x" }], holdOut: 0.1 })
  t.match(toFile(settings), file, "and back")
  const release = { dataset: { language_modeling: {} }, text_tokenizer: {} }
  t.same(toFile({ data: release }), { data: release }, "the release's layout of data stays")
  const wrong = (fields: Record<string, unknown>, inText: string, inSource: string) => {
    const named = Object.fromEntries(
      Object.entries(fields).map(([name, value]) => [codeName(name), value]),
    )
    const read = () => checkSettings(fieldsOfFile(fields, "f"), "f", inFile)
    t.throws(read, { message: new RegExp(`^f: ${inText}`) })
    t.throws(() => checkSettings(named, "f"), { message: new RegExp(`^f: ${inSource}`) })
  }
  wrong({ batch_size: 0 }, "batch_size is 0", "batchSize is 0")
  const batch = { model: "270M", batch_size: 4, accumulation: 3 }
  wrong(batch, "batch_size 4 does not", "batchSize 4 does not")
  wrong({ model: "270M", steps: 1, warmup_steps: 2 }, "warmup_steps 2 exc", "warmupSteps 2 exc")
  wrong({ init: "x", head_dim: 2 }, "init .* Leave head_dim out", "init .* Leave headDim out")
  const typo = { model: "270M", data: { sources: ["a"], on_err: "skip" } }
  t.throws(() => fieldsOfFile(typo, "f"), {
    message: "f: data: there is no field on_err. Check its name",
  })
  t.throws(() => fieldsOfFile({ batchSize: 1 }, "f"), {
    message: /no field batchSize\. .* batch_size$/,
  })
  t.throws(() => checkSettings({ batch_size: 1 }, "f"), {
    message: /no field batch_size\. It is batchSize$/,
  })
  const before = { model: "270M", optimiser: "sgd", data: { sources: [], normalisation: "nfc" } }
  const now = { model: "270M", optimizer: "sgd", data: { sources: [], normalization: "nfc" } }
  t.same(fromFile(before, "f"), now, "files from before keep reading")
  t.throws(() => fromFile({ ...before, ...now }, "f"), {
    message: "f: optimizer is there twice, also as optimiser. Leave one out",
  })
  t.end()
})

t.test("flags are read by their fields", (t) => {
  t.equal(parseValue("prompt", "5"), "5")
  t.equal(parseValue("out", "1,2"), "1,2")
  t.equal(parseValue("steps", "5"), 5)
  t.same(parseValue("alpha", "0.5,1"), [0.5, 1])
  t.equal(parseValue("dtype", "bf16"), "bf16")
  t.end()
})

t.test("a named size or first weights stand for a configuration's sizes", (t) => {
  const base = { layers: 4, dim: 32, vocabSize: 300, lr: 0.01 }
  const seen = (flags: object) => withFlags(base, { ...flags })
  t.same(seen({ layers: 2 }), { ...base, layers: 2 })
  t.same(seen({ model: "270M", dim: 64 }), { model: "270M", dim: 64, vocabSize: 300, lr: 0.01 })
  t.same(seen({ init: "folder" }), { init: "folder", lr: 0.01 })
  const refused = (changes: object, message: RegExp) =>
    t.throws(() => checkSettings({ ...base, ...changes }, "these"), message)
  refused({ minLr: 0.1 }, /minLr 0\.1 exceeds the lr of 0\.01/)
  refused({ init: "folder" }, /init brings its own sizes. Leave layers out/)
  t.end()
})

t.test("a schedule that lacks a field is refused, not a rate of NaN", (t) => {
  const whole = { maxLr: 1e-3, minLr: 1e-4, warmupInitLr: 0, warmupSteps: 2, maxSteps: 10 }
  t.ok(learningRate(whole, 3) > 0)
  for (const field of Object.keys(whole)) {
    for (const value of [undefined, Number.NaN, "1"]) {
      t.throws(() => learningRate({ ...whole, [field]: value } as Schedule, 3), {
        name: "TypeError",
        message: new RegExp(`^learningRate: ${field} is .*, expected a number$`),
      })
    }
  }
  t.end()
})

t.test("a shorter run warms up in proportion, unless it says how long", (t) => {
  const base = { model: "270M", steps: 1000, warmupSteps: 100 }
  t.equal(shortened(base, { steps: 40 }, "a").warmupSteps, 4)
  t.equal(shortened(base, { steps: 3 }, "a").warmupSteps, 0)
  t.equal(shortened(base, { steps: 2000 }, "a").warmupSteps, 100)
  t.equal(shortened(base, { steps: 40, warmupSteps: 7 }, "a").warmupSteps, 100, "a flag's stays")
  t.throws(() => shortened({ typo: 1 }, {}, "a.yaml"), {
    message: /^a\.yaml: there is no field typo/,
  })
  t.end()
})

t.test(
  "train refuses what trainingSettings does, field by field, and writes nothing",
  async (t) => {
    const out = join(t.testdir(), "run")
    await using backend = await open("js")
    const wrong: readonly [object, string, RegExp][] = [
      [{ typo: 1 }, "RangeError", /there is no field typo/],
      [{ batch_size: 3 }, "RangeError", /there is no field batch_size\. It is batchSize$/],
      [
        { steps: "ten" },
        "TypeError",
        /steps is "ten", expected a whole number from 1 to 2147483647/,
      ],
      [{ steps: 3e9 }, "RangeError", /steps is 3000000000, expected a whole number from 1 to 214/],
      [{ lr: Number.NaN }, "RangeError", /lr is NaN, expected a number above 0/],
      [{ model: "nope" }, "RangeError", /model is "nope"\. .* 270M/],
      [{ betas: [0.5, 1] }, "RangeError", /betas\[1\] is 1, expected a number from 0 and below 1/],
      [{ optimizer: "x" }, "RangeError", /optimizer is "x", expected "adamw" or "sgd"/],
      [{ optimizer: 5 }, "TypeError", /optimizer is 5, expected "adamw" or "sgd"/],
      [{ data: { sources: [5] } }, "TypeError", /data: sources\[0\] is 5, expected a path/],
      [{ warmupSteps: 2, steps: 1 }, "RangeError", /warmupSteps 2 exceed the 1 steps/],
    ]
    for (const [fields, name, message] of wrong) {
      const given = { model: "270M", out, ...fields }
      const error = { name, message: new RegExp(`^settings: ${message.source}`) }
      await t.rejects(train(given, { backend }), error)
      await t.rejects(trainingSettings(given), error)
    }
    await t.rejects(train({ model: "270M", out }, {} as never), {
      name: "TypeError",
      message: "train: the backend must be an open backend, got undefined",
    })
    t.equal(existsSync(out), false)
  },
)
