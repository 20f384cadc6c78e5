// `elm bench scores`: its requests are read as often as it says.
import t from "tap"
import { mixesOf, readOnce } from "../bench/measure/scores.ts"
import { OpenELM, open } from "../index.ts"
import { Session } from "../model/generate/session.ts"
import { internals, publishedConfig } from "../model/index.ts"
import { config } from "./small.ts"

t.test(
  "tokens that are read are those that sessions read, and shared examples are few of all",
  async (t) => {
    await using backend = await open("wasm", { threads: 1 })
    const steps = t.capture(Session.prototype, "score", Session.prototype.score)
    const filled = t.capture(Session.prototype, "prefill", Session.prototype.prefill)
    for (const { name, requests } of mixesOf(config)) {
      // A new one each time: a session keeps what it has read.
      await using model = await OpenELM.random(config, { backend, seed: 5, capacity: 1024 })
      await internals(model).score(requests)
      const calls = [...filled(), ...steps()].map(({ args: [tokens] }) => tokens.length)
      t.equal(
        calls.reduce((a, b) => a + b, 0),
        readOnce(requests),
        name,
      )
    }
    const all = mixesOf(publishedConfig("OpenELM-270M")).map(({ requests }) => {
      return requests.reduce((sum, { ids }) => sum + ids.length - 1, 0) / readOnce(requests)
    })
    const [questions = 0, endings = 0, shared = 0, anew = 0] = all
    t.ok(questions > 3 && endings > 2 && shared > 10 && anew < 1.01, all.join())
  },
)
