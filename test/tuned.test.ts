// The adapter that comes with the package: it is of the package's model, and prefers what its log says, on pairs
// that neither has seen.
import { createHash } from "node:crypto"
import { readFileSync, statSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { loadAdapter, OpenELM, open, shippedModel, tokenizePreference } from "../index.ts"
import { ReferenceScorer } from "../train/preference/reference.ts"
import { trainedOf } from "../train/step/trained.ts"
import { logProbsOf } from "../train/tune/rows.ts"
import { smallPart } from "./driver.ts"
import { config } from "./small.ts"
import t from "./tap.ts"

const at = (name: string): string => fileURLToPath(new URL(`../../${name}`, import.meta.url))
const folder = at("models/small-sentences")
const measured = JSON.parse(readFileSync(`${folder}/measured.json`, "utf8"))
const { sentences, endsWhole } = (await import(at("examples/sentences/data.js"))) as {
  sentences(): Record<"preferences" | "held", Record<"prompt" | "chosen" | "rejected", string>[]>
  endsWhole(text: string): boolean
}
const { preferences, held } = sentences()

t.test("of each preference the chosen answer ends with a sentence, the other does not", (t) => {
  const all = [...preferences, ...held]
  t.same([held.length, preferences.length], [measured.pairs, 1600])
  t.ok(all.every(({ chosen, rejected }) => endsWhole(chosen) && !endsWhole(rejected)))
  const longer = all.filter(({ chosen, rejected }) => chosen.length > rejected.length).length
  t.ok(Math.abs(longer / all.length - 0.5) < 0.03, `length tells nothing: ${longer} are longer`)
  const seen = new Set(preferences.map(({ prompt }) => prompt))
  t.notOk(held.some(({ prompt }) => prompt.split(" ").length > 9 && seen.has(prompt)))
  t.end()
})

t.test("the shipped adapter prefers what its log says, on pairs that were held out", async (t) => {
  await using backend = await open("wasm", { threads: 2 })
  const path = await shippedModel()
  const bytes = readFileSync(`${path}/model.safetensors`)
  t.equal(createHash("sha256").update(bytes).digest("hex"), measured.model, "of this model")
  t.ok(statSync(`${folder}/adapter_model.safetensors`).size < 1 << 20)
  await using model = await OpenELM.load(path, { backend })
  const count = smallPart === undefined ? held.length : 16
  const pairs = held.slice(0, count).map(({ prompt, ...answers }) => {
    const turn = (role: string, content: string) => ({ role, content })
    const turns = (answer: string) => [turn("user", prompt), turn("assistant", answer)]
    const record = { chosen: turns(answers.chosen), rejected: turns(answers.rejected) }
    const limits = { maxLength: 256, maxPromptLength: 128 }
    return tokenizePreference(record, model.tokenizer as never, limits)
  })
  const texts = pairs.flatMap(({ chosen, rejected }) => [chosen, rejected])
  for (const name of ["none", "small-sentences"]) {
    const adapter = name === "none" ? undefined : await loadAdapter(model, folder)
    const { decoder, reading } = trainedOf(model, adapter)
    const scorer = new ReferenceScorer(model, decoder)
    const sums = await reading(() => logProbsOf(scorer, model, texts, 8))
    scorer.close()
    const want: string = measured[name].preferred.slice(0, count)
    const wrong = [...want].filter(
      (bit, i) => Number(sums[2 * i]) > Number(sums[2 * i + 1]) !== (bit === "1"),
    )
    t.ok(wrong.length <= 1, `${name}: ${wrong.length} of ${count} pairs are not as they were`)
  }
  const rate = (name: string): number =>
    [...measured[name].preferred].filter((bit) => bit === "1").length / measured.pairs
  t.ok(rate("small-sentences") > rate("none") + 0.1, "stated before and after")
  await using other = await OpenELM.random(config, { backend })
  await t.rejects(loadAdapter(other, folder), { name: "RangeError", message: /small-sentences/ })
})
