// The kernels of a GPU as the ops declare them: complete, reached by the tests, and refused by the build
// where a declaration and the .wgsl files do not agree.
import { fileURLToPath } from "node:url"
import { variantsOf } from "../bench/measure/variants.ts"
import { embedShaders } from "../build/shaders.ts"
import type { KernelVariant, Op } from "../engine/index.ts"
import { allOps, rmsNorm } from "../ops/index.ts"
import t from "./tap.ts"

t.test("every kernel of a GPU serves a case of its op", (t) => {
  for (const { op, entry, serves, cases, when, groups } of variantsOf()) {
    t.ok(serves > 0 && groups[0] > 0 && groups[0] <= groups[1], `${op}: ${entry}`)
    t.equal(when === "", serves === cases, `${op}: ${entry} has a condition where cases fail it`)
  }
  t.end()
})

t.test("the last kernel of an op serves all sizes on every GPU", (t) => {
  for (const { name, gpu } of allOps.filter((op) => op.gpu.length > 0)) {
    const { when, needs } = gpu.at(-1) as KernelVariant
    t.same({ when, needs }, { when: undefined, needs: undefined }, name)
  }
  t.end()
})

t.test("the build refuses a kernel that no file has", (t) => {
  const root = fileURLToPath(new URL("../..", import.meta.url))
  const withKernel = (variant: KernelVariant): Op => ({ ...rmsNorm.op, gpu: [variant] })
  const from = ["norm/rmsnorm.wgsl"]
  t.throws(() => embedShaders(root, [withKernel({ from: ["norm/rms.wgsl"] })]), {
    message: /rmsNorm.*ops\/norm\/rms\.wgsl, which is no file/,
  })
  t.throws(() => embedShaders(root, [withKernel({ entry: "normOfRows", from })]), {
    message: /rmsNorm: no entry point normOfRows in norm\/rmsnorm\.wgsl/,
  })
  t.throws(() => embedShaders(root, [withKernel({ from })]), {
    message: /no op has the entry point/,
  })
  t.end()
})
