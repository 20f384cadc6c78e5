// Memory that has been freed is refused on every backend, by whatever way one comes to it, and what
// lies there now stays as it is.

import { Reclaim } from "../backends/wasm/reclaim.ts"
import {
  allocate,
  type Backend,
  bound,
  bufferOf,
  plan,
  read,
  runOnce,
  type Tensor,
} from "../engine/index.ts"
import { affine } from "../ops/index.ts"
import { allBackends } from "./backends.ts"
import t from "./tap.ts"

const ones = (backend: Backend): Tensor => {
  const tensor = allocate(backend, [4])
  backend.write(bufferOf(tensor), Float32Array.of(1, 1, 1, 1))
  return tensor
}

for (const { label, open } of allBackends) {
  t.test(`freed memory on ${label} is refused wherever it is named`, async (t) => {
    const backend = await open()
    t.teardown(() => backend.close())
    const freed = { name: "Error", message: /buffer has been freed\. Was its model closed/ }
    const [x, y] = [ones(backend), ones(backend)]
    // Recorded and prepared while it was there: from it, and into it.
    const from = plan([[y, affine(x, 2, 0)]], backend)
    const into = plan([[x, affine(y, 2, 0)]], backend)
    const prepared = [from, into].map((each) => backend.prepare(each))
    for (const each of prepared) await each.run()
    const buffer = bufferOf(x)
    t.equal(buffer.freed, false)
    buffer.free()
    buffer.free()
    t.equal(buffer.freed, true)
    // Lies where x did, on a backend that gives memory again.
    const other = ones(backend)
    await t.rejects(backend.read(buffer), freed)
    await t.rejects(read(x, backend), freed)
    t.throws(() => backend.write(buffer, Float32Array.of(9, 9, 9, 9)), freed)
    t.throws(() => bound(buffer, [4]), freed)
    t.throws(() => plan([[y, affine(x, 3, 0)]], backend), freed)
    t.throws(() => plan([[x, affine(y, 3, 0)]], backend), freed)
    for (const each of [from, into]) t.throws(() => backend.prepare(each), freed)
    for (const each of prepared) await t.rejects(async () => each.run(), freed)
    for (const each of prepared) {
      each.close()
      each.close()
      await t.rejects(async () => each.run(), { message: /this plan is closed/ })
    }
    const list = async (tensor: Tensor) => [...(await read(tensor, backend))]
    t.same([await list(y), await list(other)], [Array(4).fill(2), Array(4).fill(1)])
    await runOnce(backend, [[other, affine(y, 4, 0)]])
    t.same(await list(other), Array(4).fill(8), "and the backend goes on")
    for (const tensor of [y, other]) bufferOf(tensor).free()
  })

  t.test(`memory freed while a plan is made ready on ${label}`, async (t) => {
    const backend = await open()
    t.teardown(() => backend.close())
    const [x, y] = [ones(backend), ones(backend)]
    const prepared = backend.prepare(plan([[y, affine(x, 7, 0.25)]], backend))
    const running = (async () => prepared.run())()
    bufferOf(x).free()
    const other = ones(backend)
    // It has run before, or is refused: it never reads what came after.
    const ran = await running.then(
      () => true,
      ({ message }) => !/freed/.test(message) && message,
    )
    t.not(typeof ran, "string", String(ran))
    t.equal((await read(y, backend))[0], ran ? 7.25 : 1)
    t.same([...(await read(other, backend))], [1, 1, 1, 1])
    prepared.close()
    for (const tensor of [y, other]) bufferOf(tensor).free()
  })
}

t.test("memory freed under a run of other threads is given back after it", async (t) => {
  const given: number[] = []
  const instance = { heap: { free: (address: number) => given.push(address) } }
  const region = (address: number) => ({ instance: instance as never, address, bytes: 64 })
  const reclaim = new Reclaim()
  reclaim.free(region(1))
  t.same(given, [1], "at once where nothing runs")
  let fail = (_: Error): void => {}
  let end = (): void => {}
  const failing = reclaim.watch(
    new Promise((_, reject) => {
      fail = reject
    }),
  )
  reclaim.free(region(2))
  void reclaim.watch(
    new Promise((resolve) => {
      end = resolve
    }),
  )
  fail(new Error("a thread stopped"))
  await t.rejects(failing, /a thread stopped/)
  await Promise.resolve()
  t.same(given, [1, 2], "also where the run failed, and without those that began later")
  reclaim.free(region(3))
  await new Promise((resolve) => setTimeout(resolve, 5))
  t.same(given, [1, 2])
  end()
  await reclaim.ended()
  t.same(given, [1, 2, 3])
  t.equal(reclaim.ended(), undefined)
})
