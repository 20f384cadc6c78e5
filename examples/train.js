// A model of one's own data in a loop of one's own: a small variant learns to add up two digits.
// node examples/train.js
import { createTrainStep, learningRate, OpenELM, open, scaledConfig } from "openelm"

const backend = await open("wasm")
const config = scaledConfig({
  layers: 2,
  modelDim: 64,
  headDim: 16,
  vocabSize: 16,
  queryHeadsPerKeyHead: 2,
  ffnDivisor: 32,
  maxContext: 8,
})
const model = await OpenELM.random(config, { backend, seed: 1 })
const step = await createTrainStep(model, { ignoreIndex: -1, weightDecay: 0.01 })

// Digits are ids 0 to 9; "a + b =" is a, 10, b, 11, and then come the tens and the ones of the sum.
const plus = 10
const equals = 11
const sum = (a, b) => [a, plus, b, equals, Math.floor((a + b) / 10), (a + b) % 10]
const all = Array.from({ length: 100 }, (_, n) => sum(Math.floor(n / 10), n % 10))
const inputs = all.map((row) => row.slice(0, -1))
// Only the sum is to be learned: other targets are ignored.
const targets = all.map((row) => row.slice(1).map((id, t) => (t < 3 ? -1 : id)))

const schedule = { maxLr: 4e-3, minLr: 1e-4, warmupInitLr: 1e-5, warmupSteps: 20, maxSteps: 299 }
for (let i = 0; i < 300; i++) {
  const { loss, gradNorm } = await step(inputs, targets, { lr: learningRate(schedule, i) })
  if (i % 50 === 0 || i === 299) {
    console.log(`step ${i}  loss ${loss.toFixed(4)}  norm ${gradNorm.toFixed(2)}`)
  }
}

let right = 0
for (const row of all) {
  const answer = []
  const options = { maxNewTokens: 2, temperature: 0, stop: [] }
  for await (const { id } of model.generate(row.slice(0, 4), options)) answer.push(id)
  if (answer.join() === row.slice(4).join()) right++
}
console.log(`${right} of ${all.length} sums right`)
await step.close()
await model.close()
await backend.close()
