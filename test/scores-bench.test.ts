// `elm bench scores`: its requests are read as often as it says.

import { mixesOf, readOnce } from "../bench/measure/scores.ts"
import { OpenELM, open } from "../index.ts"
import { Lanes } from "../model/generate/lanes.ts"
import { internals, publishedConfig } from "../model/index.ts"
import { config } from "./small.ts"
import t from "./tap.ts"

t.test(
  "tokens that are read are hardly more than there are, and shared examples are few of all",
  async (t) => {
    await using backend = await open("wasm", { threads: 1 })
    const steps = t.capture(Lanes.prototype, "step", Lanes.prototype.step)
    for (const { name, requests } of mixesOf(config)) {
      // A new one each time: lanes keep what they have read.
      await using model = await OpenELM.random(config, { backend, seed: 5, capacity: 1024 })
      await internals(model).score(requests)
      const read = steps().flatMap(({ args: [{ chunks }] }) =>
        chunks.map((chunk) => (chunk ? chunk.end - chunk.start : 0)),
      )
      const more = read.reduce((a, b) => a + b, 0) / readOnce(requests)
      t.ok(more >= 1 && more < 1.03, `${name}: ${more}`)
    }
    const all = mixesOf(publishedConfig("OpenELM-270M")).map(({ requests }) => {
      return requests.reduce((sum, { ids }) => sum + ids.length - 1, 0) / readOnce(requests)
    })
    const [questions = 0, endings = 0, shared = 0, anew = 0] = all
    t.ok(questions > 2.9 && endings > 2 && shared > 10 && anew < 1.01, all.join())
  },
)
