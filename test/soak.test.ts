// Long use leaves memory where it was.
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { openWasm } from "../backends/wasm/index.ts"
import { OpenELM, scaledConfig } from "../index.ts"
import { smallPart } from "./driver.ts"
import { goldenFolder } from "./fixtures.ts"
import t from "./tap.ts"

const config = scaledConfig({
  name: "soak",
  layers: 2,
  modelDim: 64,
  headDim: 16,
  vocabSize: 256,
  ffnDivisor: 32,
  maxContext: 2048,
  queryHeadsPerKeyHead: 2,
})

setFlagsFromString("--expose-gc")
const collectGarbage = runInNewContext("gc") as () => void

/** Bytes that the process holds: without garbage, and without the room that V8 keeps for new objects,
 *  which it makes larger as it sees fit. */
function heldBytes(): number {
  collectGarbage()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/** Growth that measurements explain. */
const slackBytes = 8 << 20

t.test("2,000 generated tokens leave memory where it was", async (t) => {
  const backend = await openWasm({ threads: 2 })
  const model = await OpenELM.random(config, { backend })
  const run = async (maxNewTokens: number): Promise<number> => {
    let count = 0
    const options = { maxNewTokens, temperature: 1, topK: 50, topP: 0.9, stop: [] }
    for await (const _ of model.generate([1, 2, 3], options)) count++
    return count
  }
  await run(100)
  const [used, before] = [backend.usedBytes, heldBytes()]
  t.equal(await run(2000), 2000)
  t.equal(backend.usedBytes, used, "bytes on the backend")
  const grown = heldBytes() - before
  t.ok(grown < slackBytes, `what is held grew by ${(grown / 2 ** 20).toFixed(1)} MiB`)
  await model.close()
  backend.close()
})

t.test("200 cycles of load, generate and close leave memory where it was", async (t) => {
  const folder = goldenFolder()
  t.teardown(() => folder.remove())
  const backend = await openWasm({ threads: 2 })
  const empty = backend.usedBytes
  const cycle = async () => {
    const model = await OpenELM.load(folder.path, { backend })
    for await (const _ of model.generate([1, 2, 3], { maxNewTokens: 4, stop: [] })) void 0
    await model.logits([[1, 2, 3]])
    await model.close()
  }
  for (let i = 0; i < 10; i++) await cycle()
  const [before, grown] = [heldBytes(), backend.grownBytes]
  for (let i = 0; i < 200; i++) await cycle()
  t.equal(backend.usedBytes, empty, "every byte is given back")
  t.equal(backend.grownBytes, grown, "and used again")
  const more = heldBytes() - before
  t.ok(more < slackBytes, `what is held grew by ${(more / 2 ** 20).toFixed(1)} MiB`)
  backend.close()
})

const count = smallPart ? 20 : 50
t.test(`${count} backends opened and closed leave neither threads nor memory`, async (t) => {
  const cycle = async () => {
    const backend = await openWasm({ threads: 2 })
    const model = await OpenELM.random(config, { backend, capacity: 64 })
    await model.logits([[1, 2, 3]])
    await model.close()
    backend.close()
  }
  for (let i = 0; i < 10; i++) await cycle()
  const [before, resident] = [heldBytes(), process.memoryUsage.rss()]
  for (let i = 0; i < count; i++) await cycle()
  const more = heldBytes() - before
  const grown = process.memoryUsage.rss() - resident
  t.ok(grown < 192 << 20, `threads and memories go: ${(grown / 2 ** 20).toFixed(1)} MiB`)
  t.ok(more < slackBytes, `what is held grew by ${(more / 2 ** 20).toFixed(1)} MiB`)
})
