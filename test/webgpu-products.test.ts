// Products on a GPU beyond the cases of the op table: sizes that choose other constants of a kernel,
// quantized weights in several bindings, and every kernel compiled where features only pretend to be.

import { multipliesExactly } from "../backends/webgpu/check.ts"
import { type Feature, features, openWebgpu } from "../backends/webgpu/index.ts"
import { caseName, recordCase } from "../bench/measure/cases.ts"
import type { Case, Op } from "../engine/index.ts"
import { allOps } from "../ops/index.ts"
import { limitOf, noWholeWebgpu, relativeError, wasmBackends } from "./backends.ts"
import { kernelError, outputsOn } from "./cases.ts"
import t from "./tap.ts"

const skip = noWholeWebgpu ? { skip: noWholeWebgpu } : {}

const opOf = (name: string): Op => allOps.find((op) => op.name === name) as Op

const eps = 1e-6
const q8 = { Z: 544 }
const q4 = { Z: 288 }

/** By op: many panels, whose weights two workgroups of 64 lanes share; two to four rows; tiles of 128
 *  by 128; and long rows of quantized weights. */
const cases: Readonly<Record<string, readonly Case[]>> = {
  matmul: [
    { M: 1, K: 300, P: 513, N: 8203, wType: "bf16" },
    { M: 2, K: 33, P: 513, N: 8193, wType: "f16" },
    { M: 4, K: 1100, P: 2, N: 17, wType: "bf16" },
    { M: 1025, K: 19, P: 129, N: 2050, wType: "f16" },
    { M: 1025, K: 16, P: 129, N: 2064, wType: "bf16" },
  ],
  normMatmul: [
    { M: 2, K: 1100, P: 3, N: 48, wType: "f32", eps },
    { M: 4, K: 70, P: 513, N: 8203, wType: "f16", eps },
    { M: 1025, K: 19, P: 129, N: 2050, wType: "f16", eps },
  ],
  matmulAdd: [{ M: 1030, K: 9, P: 128, N: 2040, wType: "f32" }],
  matmulSwiglu: [
    { M: 2, K: 700, P: 3, F: 35, wType: "bf16" },
    { M: 4, K: 700, P: 3, F: 48, wType: "f16" },
    { M: 1, K: 40, P: 513, F: 8193, wType: "f32" },
    { M: 1025, K: 11, P: 129, F: 2050, wType: "f16" },
  ],
  normMatmulSwiglu: [{ M: 1025, K: 11, P: 129, F: 2050, wType: "bf16", eps }],
  matmulQuantized: [
    { M: 1, K: 5000, P: 2, C: 157, N: 20, ...q8 },
    { M: 1, K: 5000, P: 2, C: 157, N: 20, ...q4 },
    { M: 2, K: 70, P: 513, C: 3, N: 8200, ...q4 },
    { M: 5, K: 300, P: 3, C: 10, N: 48, ...q8 },
    { M: 40, K: 76, P: 5, C: 3, N: 70, ...q4 },
    { M: 1025, K: 37, P: 129, C: 2, N: 2050, ...q8 },
  ],
  normMatmulQuantized: [
    { M: 1, K: 5000, P: 2, C: 157, N: 20, ...q8, eps },
    { M: 4, K: 70, P: 2, C: 3, N: 20, ...q4, eps },
    { M: 33, K: 300, P: 5, C: 10, N: 70, ...q8, eps },
  ],
  matmulSwigluQuantized: [
    { M: 2, K: 70, P: 2, C: 3, F: 20, ...q8 },
    { M: 70, K: 70, P: 5, C: 3, F: 70, ...q4 },
  ],
  normMatmulSwigluQuantized: [{ M: 8, K: 1100, P: 5, C: 35, F: 70, ...q8, eps }],
  matmulGradX: [{ M: 1030, K: 2040, P: 2, N: 21, wType: "bf16" }],
  matmulGradW: [{ M: 21, K: 1030, P: 128, N: 2040 }],
}

/** Largest error between backends that round rows alike: of a number whose rounding is a matter of a bit. */
const sameRounding = 2e-3

t.test("products of many sizes are those on wasm", skip, async (t) => {
  const backend = await openWebgpu()
  const isRounding = backend.features.has("packed-dot")
  const wasm = await (wasmBackends[0] as (typeof wasmBackends)[0]).open()
  for (const [name, tests] of Object.entries(cases)) {
    for (const test of tests) {
      const call = recordCase(opOf(name), test)
      const [want, got] = [await outputsOn(wasm, call), await outputsOn(backend, call)]
      const error = relativeError(got[0] ?? [], want[0] ?? [])
      const limit = limitOf(call, "f32", wasm.name)
      t.ok(
        error <= (isRounding ? Math.min(limit, sameRounding) : limit),
        `${caseName(call.op, test)}: ${error.toExponential(1)}`,
      )
    }
  }
  wasm.close()
  backend.close()
})

t.test("a product that is right is distinguished from one that is wrong", skip, async (t) => {
  for (const [driver, isRight] of [
    [undefined, true],
    ["null", false],
  ] as const) {
    const backend = await openWebgpu(driver ? { driver } : {})
    t.equal(await multipliesExactly(backend), isRight)
    backend.close()
  }
})

t.test("quantized weights larger than a binding are bound in windows", skip, async (t) => {
  const backend = await openWebgpu({ bindingBytes: 4096 })
  for (const { Z } of [q8, q4]) {
    const sizes = { K: 70, P: 3, C: 3, Z, N: 40 }
    for (const M of [1, 3, 7]) {
      t.equal(await kernelError(backend, recordCase(opOf("matmulQuantized"), { M, ...sizes })), "")
    }
    const rows = { N: 5, P: 3, C: 3, Z, D: 70 }
    t.equal(await kernelError(backend, recordCase(opOf("embedQuantized"), rows)), "")
  }
  t.equal(backend.liveCount, 0)
  backend.close()
})

/** Tiles of matrices in the memory that every GPU has: of so many outputs that no panel is shared. */
const shallow = ["f16", "bf16"].map((wType) => ({ M: 33, K: 4, P: 2112, wType, eps }))

/** The cases of an op; of kernels with constants, also those of two and four rows, and of those that
 *  take more memory than every GPU has one that does not. */
function sizesOf(op: Op): readonly Case[] {
  const rows = op.isProduct && op.params.includes("M") && op.gpu.some(({ constants }) => constants)
  const few = rows ? [2, 4].flatMap((M) => op.cases.map((test) => ({ ...test, M }))) : []
  const isLarge = op.gpu.some(({ storage }) => storage)
  const outputs = op.params.includes("F") ? { F: 16 * 2112 } : { N: 16 * 2112 }
  return [...op.cases, ...few, ...(isLarge ? shallow.map((test) => ({ ...test, ...outputs })) : [])]
}

for (const without of [[], ["subgroup-matrix"], ["subgroups"]] as const) {
  const name = ["every kernel compiles on a GPU that has everything", ...without].join(" but ")
  t.test(name, skip, async (t) => {
    const backend = await openWebgpu({ driver: "null", without: without as readonly Feature[] })
    const left = features.filter((name) => !without.some((other) => other === name))
    t.same([...backend.features], left)
    for (const op of allOps.filter((o) => !o.view && backend.has(o.name))) {
      for (const test of sizesOf(op)) await outputsOn(backend, recordCase(op, test))
    }
    backend.close()
  })
}
