// The counter-based random numbers: bits by published vectors, distributions by their moments.

import { normalAt, threefry, uniformAt } from "../engine/index.ts"
import t from "./tap.ts"

t.test("random numbers are those of Threefry-2x32-20", (t) => {
  const hex = (k: number, l: number, c: number, d: number) =>
    threefry(k, l, c, d).map((w) => w.toString(16))
  t.same(hex(0, 0, 0, 0), ["6b200159", "99ba4efe"])
  t.same(hex(-1, -1, -1, -1), ["1cb996fc", "bb002be7"])
  t.same(hex(0x13198a2e, 0x03707344, 0x243f6a88, 0x85a308d3), ["c4923a9c", "483df7a0"])
  const n = 20000
  const z = Float64Array.from({ length: n }, (_, i) => normalAt(1, 2, 0, i))
  const mean = z.reduce((a, b) => a + b) / n
  const variance = z.reduce((a, b) => a + b * b, 0) / n
  t.ok(Math.abs(mean) < 0.03 && Math.abs(variance - 1) < 0.04, `mean ${mean}, variance ${variance}`)
  const u = Float64Array.from({ length: n }, (_, i) => uniformAt(1, 2, 0, i))
  t.ok(Math.min(...u) > 0 && Math.max(...u) < 1)
  t.end()
})
