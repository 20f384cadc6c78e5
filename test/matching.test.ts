// What weights are made of: one tensor of a file, or several put together; copies, what may be missing,
// and what does not fit. The checkpoints are small and made up.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { openWasm } from "../backends/wasm/index.ts"
import { allocate, encode, readBound } from "../engine/index.ts"
import type { Strays } from "../model/architecture.ts"
import {
  type Checkpoint,
  fileDTypes,
  loadMatrix,
  openCheckpoint,
  type SavedDType,
  type StoredTensor,
  type TensorSource,
  writeSafetensors,
} from "../model/index.ts"
import { formOf, type Spec, stored } from "../model/weights/layout.ts"
import { matched, type Wanted } from "../model/weights/matching.ts"
import t, { type Test } from "./tap.ts"

const specOf = (wanted: Wanted): Spec => ({ ...wanted, ...formOf(wanted.kind), index: 0, std: 1 })

type Given = Readonly<Record<string, readonly [shape: readonly number[], dtype?: SavedDType]>>

/** Numbers that bf16 holds, other ones for every tensor. */
const numbers = (name: string, size: number): Float32Array =>
  Float32Array.from({ length: size }, (_, i) => name.length + (name.charCodeAt(0) % 7) + i / 4)

const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1)

/** One safetensors file of such tensors, open as a checkpoint as long as the test lasts. */
async function checkpointOf(t: Test, given: Given): Promise<Checkpoint> {
  const dir = mkdtempSync(join(tmpdir(), "openelm-matching-"))
  t.teardown(() => rmSync(dir, { recursive: true }))
  const path = join(dir, "made.safetensors")
  const entries = Object.entries(given).map(([name, [shape, dtype = "f32"]]) => {
    const data = encode(dtype, numbers(name, sizeOf(shape)))
    return [name, { dtype: fileDTypes[dtype], shape, data }] as const
  })
  await writeSafetensors(path, new Map(entries))
  const checkpoint = await openCheckpoint(path)
  t.teardown(() => checkpoint.close())
  return checkpoint
}

const strays: Strays = {
  copies: new Map([["head", "table"]]),
  refused: new Map([["bias", "but these models have none"]]),
}
const advice = "Is it the right file?"
const match = (checkpoint: Parameters<typeof matched>[0], wanted: readonly Wanted[]) =>
  matched(checkpoint, wanted, strays, advice)

/** All numbers of an f32 source, so many rows at a time. */
async function read(source: TensorSource, rowsAtATime: number): Promise<number[]> {
  const [rows = 1, ...row] = source.shape
  const found: number[] = []
  for (let start = 0; start < rows; start += rowsAtATime) {
    const count = Math.min(rowsAtATime, rows - start)
    const bytes = new Uint8Array(4 * count * sizeOf(row))
    await source.readRows(start, count, bytes)
    found.push(...new Float32Array(bytes.buffer))
  }
  return found
}

const qkv: Wanted = {
  name: "qkv",
  shape: [8, 3],
  kind: "matrix",
  from: [
    { name: "q", count: 4 },
    { name: "k", count: 2 },
    { name: "v", count: 2 },
  ],
}
const joined = ["q", "k", "v"].flatMap((name) => [...numbers(name, name === "q" ? 12 : 6)])

t.test("rows of several tensors follow each other, wherever reading begins", async (t) => {
  const checkpoint = await checkpointOf(t, { v: [[2, 3]], q: [[4, 3]], k: [[2, 3]] })
  const sources = await match(checkpoint, [qkv])
  const source = sources.get("qkv") as TensorSource
  t.same([...sources.keys()], ["qkv"])
  for (const rows of [1, 2, 3, 5, 8]) t.same(await read(source, rows), joined, `${rows} at a time`)
  await t.rejects(source.readRows(7, 2, new Uint8Array(24)), {
    name: "RangeError",
    message: /"q", "k", "v": asked for 2 rows from 7 of 8 into 24 bytes, each takes 12/,
  })
})

t.test("tensors of several dtypes are widened to f32", async (t) => {
  const given = { q: [[4, 3], "bf16"], k: [[2, 3], "f16"], v: [[2, 3]] } as const
  const source = (await match(await checkpointOf(t, given), [qkv])).get("qkv") as TensorSource
  t.equal(source.dtype, "f32")
  for (const rows of [1, 3, 8]) t.same(await read(source, rows), joined)
  const all = { q: [[4, 3], "f16"], k: [[2, 3], "f16"], v: [[2, 3], "f16"] } as const
  const same = (await match(await checkpointOf(t, all), [qkv])).get("qkv") as TensorSource
  t.equal(same.dtype, "f16", "and kept where it is one")
})

t.test(
  "a matrix loads from several tensors as from one, and gates beside their values",
  async (t) => {
    const backend = await openWasm({ threads: 1 })
    t.teardown(() => backend.close())
    /** The panels of a weight of these tensors. */
    const panels = async (given: Given, wanted: Wanted): Promise<Float32Array> => {
      const source = (await match(await checkpointOf(t, given), [wanted])).get(wanted.name)
      const spec = specOf(wanted)
      const { shape, dtype } = stored(spec, "f32")
      const target = allocate(backend, shape, dtype)
      await loadMatrix(source as TensorSource, spec, target, backend, "f32")
      return (await readBound(target, backend)) as Float32Array
    }
    for (const kind of ["matrix", "gated"] as const) {
      const [F, K] = [35, 5]
      const shape = [2 * F, K]
      const from = ["gate", "up"].map((name) => ({ name, count: F }))
      const two = await panels(
        { gate: [[F, K]], up: [[F, K]] },
        { name: "both", shape, kind, from },
      )
      const whole = [...numbers("gate", F * K), ...numbers("up", F * K)]
      const one = await checkpointOf(t, { both: [shape] })
      const wholeTensor = {
        ...(one.tensors.get("both") as NonNullable<ReturnType<typeof one.tensors.get>>),
        async read(start: number, count: number, target: Uint8Array) {
          const rows = Float32Array.from(whole.slice(start * K, (start + count) * K))
          target.set(new Uint8Array(rows.buffer))
        },
      }
      const alone = { name: one.name, tensors: new Map([["both", wholeTensor]]) }
      const source = (await match(alone, [{ name: "both", shape, kind }])).get("both")
      const spec = specOf({ name: "both", shape, kind })
      const target = allocate(backend, stored(spec, "f32").shape)
      await loadMatrix(source as TensorSource, spec, target, backend, "f32")
      t.same(two, await readBound(target, backend), kind)
    }
  },
)

t.test(
  "rows of one tensor may come in another order, and all of them are accounted for",
  async (t) => {
    const swapped: Wanted = {
      name: "both",
      shape: [6, 2],
      kind: "gated",
      from: [
        { name: "ff", start: 3, count: 3 },
        { name: "ff", start: 0, count: 3 },
      ],
    }
    const source = (await match(await checkpointOf(t, { ff: [[6, 2]] }), [swapped])).get("both")
    const all = [...numbers("ff", 12)]
    for (const rows of [1, 2, 4, 6]) {
      t.same(await read(source as TensorSource, rows), [...all.slice(6), ...all.slice(0, 6)])
    }
    const longer = await checkpointOf(t, { ff: [[7, 2]] })
    await t.rejects(match(longer, [swapped]), {
      message: /"ff" has shape \[7, 2\], expected \[6, 2\]/,
    })
  },
)

t.test("parts that do not fit are named", async (t) => {
  const swapped = await checkpointOf(t, { q: [[2, 3]], k: [[4, 3]], v: [[2, 3]] })
  await t.rejects(match(swapped, [qkv]), {
    name: "RangeError",
    message: /made\.safetensors: "q" has shape \[2, 3\], expected \[4, 3\]\. Is config/,
  })
  const narrow = await checkpointOf(t, { q: [[4, 3]], k: [[2, 2]], v: [[2, 3]] })
  await t.rejects(match(narrow, [qkv]), { message: /"k" has shape \[2, 2\], expected \[2, 3\]/ })
  const without = await checkpointOf(t, { q: [[4, 3]], v: [[2, 3]], x: [[1]] })
  await t.rejects(match(without, [qkv]), { message: /misses tensor "k"\. Is it the right file\?/ })
  await t.rejects(match(await checkpointOf(t, { bias: [[3]] }), []), {
    message: /has bias, but these models have none/,
  })
})

t.test("buffers are no weights, and all that is missing is named", async (t) => {
  const norm: Wanted = { name: "norm", shape: [3], kind: "vector" }
  const masked = await checkpointOf(t, { norm: [[3]], "a.causal_mask": [[2]] })
  t.same([...(await match(masked, [norm])).keys()], ["norm"])
  const some = await checkpointOf(t, { norm: [[3]], q: [[4, 3]] })
  await t.rejects(match(some, [qkv, norm]), { message: /misses 2 tensors: "k", "v"/ })
})

t.test("of a tensor and its copy one is enough, and both must be the same", async (t) => {
  const table: Wanted = { name: "table", shape: [5, 2], kind: "embedding" }
  const given = { table: [[5, 2]], head: [[5, 2]] } as const
  const only = (await match(await checkpointOf(t, { "model.head": given.head }), [table])).get(
    "table",
  ) as TensorSource
  t.same(await read(only, 5), [...numbers("model.head", 10)])
  const both = await checkpointOf(t, given)
  await t.rejects(match(both, [table]), { message: /"head" is not the same as "table"/ })
  const same = new Map(both.tensors).set("head", {
    ...(both.tensors.get("table") as NonNullable<ReturnType<typeof both.tensors.get>>),
    name: "head",
  })
  t.same([...(await match({ ...both, tensors: same }, [table])).keys()], ["table"])
  // Blocks are compared by their numbers.
  const blocks = (name: string, last: number) => {
    const { form, read, ...plain } = both.tensors.get("table") as StoredTensor
    const asF32: StoredTensor["read"] = async (start, count, target) => {
      await read(start, count, target)
      if (start + count === 5) target[target.length - 1] = last
    }
    return { ...plain, name, bytes: 7, form: undefined, read, asF32 }
  }
  const packed = (last: number) =>
    new Map([["table", blocks("table", 1)] as const, ["head", blocks("head", last)] as const])
  t.same([...(await match({ ...both, tensors: packed(1) }, [table])).keys()], ["table"])
  const differ = match({ ...both, tensors: packed(2) }, [table])
  await t.rejects(differ, { message: /"head" is not the same as "table"/ })
  const shorter = await checkpointOf(t, { table: [[5, 2]], head: [[4, 2]] })
  await t.rejects(match(shorter, [table]), { message: /"head" is not the same/ })
})

t.test("a single file is a checkpoint, by what it holds and not by its name", async (t) => {
  const dir = t.testdir({ "weights.pt": "no weights at all", "empty.gguf": "" })
  for (const name of ["weights.pt", "empty.gguf"]) {
    await t.rejects(openCheckpoint(join(dir, name)), {
      name: "RangeError",
      message: new RegExp(`${name} is no file of weights`),
    })
  }
  await t.rejects(openCheckpoint(join(dir, "none.gguf")), { message: /none\.gguf: no such file/ })
  const path = join(dir, "other.bin")
  await writeSafetensors(
    path,
    new Map([["x", { dtype: "F32", shape: [2], data: numbers("x", 2) }]]),
  )
  const open = await openCheckpoint(path)
  t.same([open.format, open.name, open.config], ["safetensors", path, undefined])
  const again = await open.reopen()
  await open.close()
  const target = new Uint8Array(8)
  await again.tensors.get("x")?.read(0, 2, target)
  t.same(new Float32Array(target.buffer), numbers("x", 2))
  await again.close()
  const bytes = new Uint8Array(16).fill(123)
  bytes.fill(0, 1, 8)
  writeFileSync(path, bytes)
  await t.rejects(openCheckpoint(path), { name: "SyntaxError", message: /may be cut off/ })
})
