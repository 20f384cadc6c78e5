// The package's model learns to write a ship's log, by an adapter beside its weights, which stay as they are.
// Half a minute on two cores; the adapter is a folder as PEFT has them.
// node examples/tune.js [folder] [updates]
import { addAdapter, createTrainStep, OpenELM, open, shippedModel } from "openelm"

const [folder = "log-adapter", updates = 60] = process.argv.slice(2)
const prompts = ["It was a fine morning, and", "Her mother", "The whole party"]

const backend = await open("wasm")
const model = await OpenELM.load(await shippedModel(), { backend })
const { tokenizer } = model

/** What the model makes of the prompts. */
async function show(title) {
  console.log(`\n${title}`)
  for (const prompt of prompts) {
    const options = { maxNewTokens: 32, temperature: 0.6, topK: 40, seed: 3, stop: ["\n"] }
    console.log(`  ${prompt}${(await model.complete(prompt, options)).text}`)
  }
}

// Days at sea, put together at random. Each begins as any text might.
const begins = ["It is a truth", "Her mother", "In the morning", "He was", "The house", "They had"]
const winds = ["wind west", "wind north by east", "no wind", "a gale from the south", "light airs"]
const seas = ["sea calm", "heavy sea", "long swell", "rain", "fog until noon"]
const acts = ["reefed the topsails", "mended the nets", "pumped the hold", "kept the watch"]
let state = 1
const pick = (list) => {
  state = Math.imul(state, 1103515245) + 12345
  return list[(state >>> 16) % list.length]
}
const entry = () =>
  `${pick(begins)}; ${pick(winds)}, ${pick(seas)}; ${pick(acts)}; all hands well. ` +
  `Ship's log; ${pick(winds)}, ${pick(seas)}; ${pick(acts)}; all hands well.`

/** So many entries as one batch: rows of one length, of which what is filled up does not count. */
function batch(size) {
  const rows = Array.from({ length: size }, () => tokenizer.encode(entry(), { bos: true }))
  const length = Math.max(...rows.map((row) => row.length)) - 1
  const filled = (row, value) => [...row, ...Array(length - row.length).fill(value)]
  return {
    inputs: rows.map((row) => filled(row.slice(0, -1), 0)),
    targets: rows.map((row) => filled(row.slice(1), -1)),
  }
}

await show("Before:")
const adapter = await addAdapter(model, {
  rank: 8,
  alpha: 16,
  targets: ["qkv_proj", "out_proj", "proj_1", "proj_2"],
})
console.log(`\n${adapter.parameters} numbers learn beside ${model.parameters}`)
const step = await createTrainStep(model, { adapter, ignoreIndex: -1, weightDecay: 0 })
for (let i = 0; i < updates; i++) {
  const { inputs, targets } = batch(8)
  const { loss } = await step(inputs, targets, { lr: 5e-3 * Math.min(1, 2 - (2 * i) / updates) })
  if (i % 10 === 0) console.log(`update ${i}  loss ${loss.toFixed(3)}`)
}
await step.close()

await show("After:")
adapter.scale = 0.5
await show("With half of it:")
model.adapter = undefined
await show("Without it, as before:")
adapter.scale = 1
await adapter.save(folder)
console.log(`\nThe adapter is in ${folder}: npx elm generate "Her mother" --adapter ${folder}`)
await model.close()
await backend.close()
