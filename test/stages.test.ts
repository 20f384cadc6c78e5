// A plan that is cut into stages: memory that several of them share has other values in each.

import { open } from "../backends/index.ts"
import { allocate, bound, bufferOf, planStages, readBound } from "../engine/index.ts"
import { add, mul } from "../ops/index.ts"
import { noWholeWebgpu } from "./backends.ts"
import t from "./tap.ts"

for (const name of ["js", "wasm", "webgpu"] as const) {
  const skip = name === "webgpu" && noWholeWebgpu
  t.test(`stages on ${name} see what is written between them`, { skip }, async (t) => {
    await using backend = await open(name)
    const [x, shared, gradient, kept] = [1, 1, 1, 1].map(() => allocate(backend, [3]))
    if (!x || !shared || !gradient || !kept) throw new Error("no memory")
    const write = (to: typeof x, ...values: number[]) =>
      backend.write(bufferOf(to), Float32Array.from(values))
    const numbers = async (of: typeof x) => [...(await readBound(of, backend))]
    // Two weights in one place, and the gradients of both in another.
    const [w1, w2] = [shared, bound(bufferOf(shared), [3])]
    const h1 = mul(x, w1)
    const h2 = mul(h1, w2)
    const d2 = mul(h1, h2)
    const d1 = add(d2, mul(x, w1))
    const plan = planStages(
      [
        { updates: [], values: [h1] },
        { updates: [[kept, h2]] },
        // Read once more when its memory has become another's.
        { updates: [[gradient, d2]] },
        { updates: [[gradient, d1]] },
      ],
      backend,
    )
    const prepared = backend.prepare(plan)
    for (const [round, begin] of [
      [0, 1],
      [1, 10],
    ] as const) {
      write(x, begin, 2, 3)
      write(shared, 2, 2, 2)
      await prepared.run(0)
      write(shared, 3, 4, 5)
      await prepared.run(1)
      await prepared.run(2)
      const h = [2 * begin, 4, 6]
      const second = [3, 4, 5].map((w, i) => (h[i] as number) * w)
      t.same(await numbers(kept), second, `round ${round}`)
      t.same(
        await numbers(gradient),
        second.map((y, i) => y * (h[i] as number)),
      )
      write(shared, 1, 1, 1)
      await prepared.run(3)
      const first = second.map((y, i) => y * (h[i] as number) + ([begin, 2, 3][i] as number))
      t.same(await numbers(gradient), first)
    }
    t.equal(plan.ends.length, 4)
    t.equal(plan.ends.at(-1), plan.steps.length)
    prepared.close()
  })
}
