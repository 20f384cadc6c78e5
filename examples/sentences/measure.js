// How often the package's small model finds the answer that ends with a whole sentence the likelier one of two, and
// answers with such itself: as it is, and through adapters. Pairs and prompts are of chapters that neither the
// model nor the adapters were trained on.
// node examples/sentences/measure.js [--out file.json] [adapter ...]
import { createHash } from "node:crypto"
import { readFileSync, writeFileSync } from "node:fs"
import { basename, join } from "node:path"
import { parseArgs } from "node:util"
import { loadAdapter, OpenELM, open, shippedModel, tokenizePreference } from "openelm"
import { endsWhole, sentences } from "./data.js"

const { values, positionals } = parseArgs({
  options: { out: { type: "string" } },
  allowPositionals: true,
})
const sampling = { maxNewTokens: 80, temperature: 0.7, topK: 40 }
const turn = (role, content) => ({ role, content })

const folder = await shippedModel()
const backend = await open("wasm")
const model = await OpenELM.load(folder, { backend })
const { held } = sentences()

/** How likely an answer is, in nats. */
async function logProbOf({ ids, labels }) {
  const { logProbabilities } = await model.score(ids)
  const counts = (i) => labels[i + 1] !== -100
  return logProbabilities.reduce((sum, x, i) => (counts(i) ? sum + x : sum), 0)
}

/** 1 of each pair whose chosen answer is the likelier one, else 0. */
async function preferred() {
  let found = ""
  for (const { prompt, chosen, rejected } of held) {
    const turns = (answer) => [turn("user", prompt), turn("assistant", answer)]
    const pair = { chosen: turns(chosen), rejected: turns(rejected) }
    const tokens = tokenizePreference(pair, model.tokenizer, {
      maxLength: 256,
      maxPromptLength: 128,
    })
    const isRight = (await logProbOf(tokens.chosen)) > (await logProbOf(tokens.rejected))
    found += isRight ? "1" : "0"
  }
  return found
}

/** Answers that end by themselves, and those of them that end with a whole sentence. */
async function answered() {
  let [ended, whole] = [0, 0]
  for (const [seed, { prompt }] of held.entries()) {
    const answer = await model.completeChat([turn("user", prompt)], { ...sampling, seed })
    const isEnded = answer.finishReason === "stop"
    ended += isEnded ? 1 : 0
    whole += isEnded && endsWhole(answer.text.trim()) ? 1 : 0
    if (seed < 2) console.log(`  ${prompt}\n  → ${answer.text.trim()}${isEnded ? "" : " …"}`)
  }
  return { ended, whole }
}

const file = readFileSync(join(String(folder), "model.safetensors"))
const measured = { model: createHash("sha256").update(file).digest("hex"), pairs: held.length }
for (const path of [undefined, ...positionals]) {
  const name = path === undefined ? "none" : basename(path)
  console.log(path === undefined ? "The model as it is:" : `Through ${path}:`)
  const adapter = path === undefined ? undefined : await loadAdapter(model, path)
  const found = { preferred: await preferred(), ...(await answered()) }
  await adapter?.close()
  const right = found.preferred.split("1").length - 1
  const share = (count) => `${((100 * count) / held.length).toFixed(1)} %`
  console.log(
    `  the whole answer is the likelier one of ${share(right)} of ${held.length} pairs; ` +
      `${share(found.ended)} of its answers end, ${share(found.whole)} with a whole sentence`,
  )
  measured[name] = found
}
if (values.out) writeFileSync(values.out, `${JSON.stringify(measured, null, 1)}\n`)
await model.close()
await backend.close()
