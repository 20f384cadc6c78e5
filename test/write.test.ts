// The safetensors writer: what it writes reads back, and a failure changes nothing on disk.
import { mkdirSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import {
  openSafetensors,
  type SafetensorsFile,
  writeSafetensors,
} from "../model/checkpoints/safetensors.ts"
import t from "./tap.ts"

const root = t.testdir({})

const readAll = async (file: SafetensorsFile, name: string): Promise<Uint8Array<ArrayBuffer>> => {
  const target = new Uint8Array(file.tensors.get(name)?.bytes ?? 0)
  await file.read(name, 0, target)
  return target
}

t.test("writeSafetensors writes what openSafetensors reads, aligned and in pieces", async (t) => {
  const path = join(root, "written.safetensors")
  async function* pieces() {
    yield new Uint8Array([1, 2, 3])
    yield new Uint16Array([4])
    yield new Uint8Array([6])
  }
  const half = new Uint16Array([1, 2, 3])
  const tensors = new Map([
    ["half", { dtype: "F16", shape: [3], data: half }],
    ["__proto__", { dtype: "U8", shape: [2, 3], data: pieces() }],
    ["single", { dtype: "F32", shape: [2], data: [new Float32Array([1]), new Float32Array([2])] }],
    ["empty", { dtype: "BF16", shape: [0, 5], data: [] }],
  ] as const)
  await writeSafetensors(path, tensors, { format: "pt" })
  const file = await openSafetensors(path)
  t.same([...file.tensors.keys()], ["single", "half", "empty", "__proto__"])
  t.same([...(await readAll(file, "__proto__"))], [1, 2, 3, 4, 0, 6])
  t.same(new Float32Array((await readAll(file, "single")).buffer), new Float32Array([1, 2]))
  t.same(new Uint16Array((await readAll(file, "half")).buffer), half)
  t.equal(file.metadata.get("format"), "pt")
  t.equal((file.tensors.get("single")?.offset ?? 1) % 8, 0)
  await file.close()
})

t.test("a failed write leaves the old file and no temporary one", async (t) => {
  const folder = t.testdir({ "x.safetensors": "old" })
  const path = join(folder, "x.safetensors")
  const x = { dtype: "F32", shape: [2], data: new Float32Array(2) } as const
  const failing = (function* () {
    yield new Float32Array(1)
    throw new Error("the source failed")
  })()
  for (const [tensor, message] of [
    [{ ...x, data: new Float32Array(3) }, /takes 8 bytes, got more\. Nothing was written/],
    [{ ...x, data: new Float32Array(1) }, /"x" is F32 \[2\] and takes 8 bytes, got 4/],
    [{ ...x, data: failing }, /the source failed/],
    [{ ...x, shape: [-2] }, /cannot write "x" as "F32" \[-2\]/],
    [{ ...x, dtype: "F31" as "F32" }, /cannot write "x" as "F31"/],
  ] as const) {
    await t.rejects(writeSafetensors(path, new Map([["x", tensor]])), { message })
  }
  const reserved = new Map([["__metadata__", x]])
  await t.rejects(writeSafetensors(path, reserved), { message: /cannot write "__metadata__"/ })
  t.equal(readFileSync(path, "utf8"), "old")
  mkdirSync(join(folder, "taken.safetensors"))
  await t.rejects(writeSafetensors(join(folder, "taken.safetensors"), new Map([["x", x]])))
  await t.rejects(writeSafetensors(join(folder, "no", "x"), new Map([["x", x]])), {
    message: /^Cannot write .*no such file/,
  })
  t.same(readdirSync(folder).sort(), ["taken.safetensors", "x.safetensors"])
})
