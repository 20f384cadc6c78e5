// js, wasm in its builds and webgpu on random models with odd sizes: the same logits, tokens, losses
// and gradients. ELM_TEST_RANDOM=N tries more of them, ELM_TEST_TRIAL=n the one of that number.

import { noWholeWebgpu, wasmBackends, webgpuBackends } from "./backends.ts"
import { smallPart } from "./driver.ts"
import t from "./tap.ts"
import { errorsIn, trialOf } from "./trials.ts"

const { ELM_TEST_RANDOM, ELM_TEST_TRIAL } = process.env
const first = Number(ELM_TEST_TRIAL ?? 0)
const count = (usual: number): number =>
  ELM_TEST_TRIAL === undefined ? Number(ELM_TEST_RANDOM ?? usual) : 1

for (const [kind, opened, usual] of [
  ["wasm", wasmBackends, smallPart ? 30 : 120],
  ["webgpu", webgpuBackends, 20],
] as const) {
  const skip = kind === "webgpu" && noWholeWebgpu
  t.test(`random models on ${kind} are those of js`, skip ? { skip } : {}, async (t) => {
    const backends = await Promise.all(opened.map(({ open }) => open()))
    for (let n = first; n < first + count(usual); n++) {
      const trial = trialOf(n)
      // Each build has its turn: by fives, so that it has every dtype.
      const at = Math.floor(n / 5) % backends.length
      const used = ELM_TEST_TRIAL === undefined ? backends.slice(at, at + 1) : backends
      for (const errors of await errorsIn(trial, used)) {
        if (errors.length > 0) t.fail(`trial ${n}, ${opened[at]?.label}: ${errors.join(", ")}`)
      }
    }
    t.pass(`${count(usual)} trials`)
    for (const backend of backends) backend.close()
  })
}
