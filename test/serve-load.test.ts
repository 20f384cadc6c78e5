// Many clients of one server for a while, some of which leave amid an answer: no stream is wrong, and
// nothing grows. ELM_TEST_SERVE_SECONDS has it run for longer.

import { driveService } from "../bench/measure/serving.ts"
import { OpenELM, open, shippedModel } from "../index.ts"
import { smallPart } from "./driver.ts"
import t from "./tap.ts"

const seconds = Number(process.env.ELM_TEST_SERVE_SECONDS ?? (smallPart ? 1 : 4))
const clients = smallPart ? 16 : 64
const kinds = 12

const bodyOf = (n: number) => {
  const kind = n % kinds
  const text =
    "It is a truth universally acknowledged, that a single man in possession of a fortune"
  return {
    model: "OpenELM-small",
    prompt: text.slice(0, 3 + 7 * kind),
    ...{ max_tokens: 4 + kind, seed: kind, temperature: kind % 2 },
    // Some are chosen on the host.
    ...(kind % 3 === 0 ? { logit_bias: { 20: 2 } } : {}),
  }
}

t.test(
  `${clients} clients stream, and each has its own text`,
  { timeout: 1000 * (seconds + 60) },
  async (t) => {
    await using backend = await open("wasm", { threads: 2 })
    await using model = await OpenELM.load(await shippedModel(), { backend, capacity: 128 })
    const own: string[] = []
    for (let kind = 0; kind < kinds; kind++) {
      const { prompt, max_tokens, seed, temperature, logit_bias } = {
        logit_bias: undefined,
        ...bodyOf(kind),
      }
      const bias = logit_bias ? { logitBias: logit_bias } : {}
      const options = { maxNewTokens: max_tokens, seed, temperature, ...bias }
      own.push((await model.complete(prompt, options)).text)
    }
    let streams = 0
    const asking = {
      body: bodyOf,
      onStream(n: number, texts: readonly string[], isWhole: boolean) {
        streams++
        const text = texts.join("")
        const expected = own[n % kinds] as string
        // The last event has the rest of the text, and says why it ends.
        if (expected.startsWith(text)) return
        t.fail(`stream ${n}, ${isWhole ? "whole" : "left"}: ${text} is not ${expected}`)
      },
    }
    const load = { clients: [clients], seconds, leaving: 0.3 }
    const [row] = await driveService(model, { places: 8, queue: 64 }, load, asking, () => undefined)
    t.ok(streams > clients && (row?.left ?? 0) > 0 && (row?.whole ?? 0) > 0, `${streams} streams`)
    t.ok((row?.tokensPerSecond ?? 0) > 0)
    const [before, after] = row?.rssBytes ?? [0, 0]
    // What a heap is given in its first seconds is no leak.
    const most = seconds < 60 ? 256 : 48
    t.ok(after - before < most << 20, `${((after - before) / 2 ** 20).toFixed(0)} MiB more`)
    t.comment(JSON.stringify(row))
  },
)
