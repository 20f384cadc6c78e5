// Averages of tensors that come late, in pieces, and of those that do not fit together. That the numbers
// are the original's is test/trainer.test.ts.
import { setTimeout as sleep } from "node:timers/promises"
import { decode, encode, viewOf } from "../engine/index.ts"
import { type Checkpoint, fileDTypes, type SavedDType, type StoredTensor } from "../model/index.ts"
import { averaged } from "../train/run/average.ts"
import t from "./tap.ts"

/** A checkpoint whose tensors give their numbers a moment after they are asked. */
function checkpoint(
  name: string,
  given: Readonly<Record<string, readonly number[]>>,
  form: SavedDType = "f32",
): Pick<Checkpoint, "name" | "tensors"> {
  const tensors = Object.entries(given).map(([tensor, values]): [string, StoredTensor] => {
    const bytes = new Uint8Array(encode(form, values).buffer)
    const rowBytes = bytes.length / values.length
    return [
      tensor,
      {
        ...{ name: tensor, file: `${name}/x`, dtype: fileDTypes[form], form },
        ...{ shape: [values.length], bytes: bytes.length },
        async read(start, count, target) {
          await sleep(2)
          target.set(bytes.subarray(start * rowBytes, (start + count) * rowBytes))
        },
      },
    ]
  })
  return { name, tensors: new Map(tensors) }
}

t.test("an average waits for what it is of", async (t) => {
  for (const form of ["f32", "f16", "bf16"] as const) {
    const of = [checkpoint("a", { w: [1, 2, 3] }, form), checkpoint("b", { w: [3, 6, -3] }, form)]
    const { data, dtype } = averaged(of).get("w") ?? {}
    t.equal(dtype, fileDTypes[form])
    const found: number[] = []
    for await (const piece of data as AsyncIterable<Uint8Array<ArrayBuffer>>) {
      found.push(...decode(form, viewOf(form, piece.buffer)))
    }
    t.same(found, [2, 4, 0])
  }
})

t.test("what does not fit together is named", (t) => {
  const first = checkpoint("a", { w: [1, 2], v: [3] })
  const cases: readonly [ReturnType<typeof checkpoint>, RegExp][] = [
    [checkpoint("b", { w: [1, 2] }), /b: "v" is missing, a has F32 \[1\]/],
    [checkpoint("b", { w: [1, 2, 3], v: [3] }), /b: "w" is F32 \[3\], a has F32 \[2\]/],
    [checkpoint("b", { w: [1, 2], v: [3] }, "f16"), /b: "w" is F16 \[2\], a has F32/],
    [checkpoint("b", { w: [1, 2], v: [3], u: [4] }), /b has "u", which a has not/],
  ]
  for (const [other, message] of cases) {
    t.throws(() => averaged([first, other]), { name: "RangeError", message })
  }
  const panels = checkpoint("a", { w: [1] })
  const w = { ...(panels.tensors.get("w") as StoredTensor), dtype: "U8", form: "q8" as const }
  const kept = { name: "a", tensors: new Map([["w", w]]) }
  t.throws(() => averaged([kept, kept]), { message: /"w" is U8, expected F32, F16 or BF16/ })
  t.end()
})
