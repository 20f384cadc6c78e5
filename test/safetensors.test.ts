// The safetensors reader on good, hostile and mutated files.
import { readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { openSafetensors, type SafetensorsFile } from "../model/checkpoints/safetensors.ts"
import t from "./tap.ts"

const root = t.testdir({})
const fixtures = new URL("../../test/fixtures/", import.meta.url)
const bytesAt = (path: string) => new Uint8Array(readFileSync(new URL(path, fixtures)))
const text = (x: unknown) => new TextEncoder().encode(typeof x === "string" ? x : JSON.stringify(x))

/** A file of a header and zeroed data; `length` overrides the header's own. */
function fileOf(header: unknown, dataBytes = 0, length?: number | bigint): Uint8Array {
  const json = header instanceof Uint8Array ? header : text(header)
  const bytes = new Uint8Array(8 + json.length + dataBytes)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length ?? json.length), true)
  bytes.set(json, 8)
  return bytes
}

let files = 0
function save(bytes: Uint8Array): string {
  const path = join(root, `${files++}.safetensors`)
  writeFileSync(path, bytes)
  return path
}

const f32 = (shape: unknown, ...data_offsets: unknown[]) => ({ dtype: "F32", shape, data_offsets })

const readAll = async (file: SafetensorsFile, name: string): Promise<Uint8Array> => {
  const target = new Uint8Array(file.tensors.get(name)?.bytes ?? 0)
  await file.read(name, 0, target)
  return target
}

t.test("openSafetensors reads every fixture as its header says", async (t) => {
  for (const folder of ["model/", "ops/"]) {
    const names = readdirSync(new URL(folder, fixtures)).filter((n) => n.endsWith(".safetensors"))
    t.ok(names.length > 3)
    for (const name of names) {
      const bytes = bytesAt(folder + name)
      const length = Number(new DataView(bytes.buffer).getBigUint64(0, true))
      const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)))
      const file = await openSafetensors(fileURLToPath(new URL(folder + name, fixtures)))
      delete header.__metadata__
      t.same([...file.tensors.keys()], Object.keys(header))
      for (const [key, { dtype, shape, data_offsets }] of Object.entries<{
        dtype: string
        shape: number[]
        data_offsets: [number, number]
      }>(header)) {
        t.match(file.tensors.get(key), { dtype, shape })
        const [begin, end] = data_offsets
        const expected = bytes.subarray(8 + length + begin, 8 + length + end)
        t.equal(Buffer.compare(await readAll(file, key), expected), 0, `${name} ${key}`)
      }
      await file.close()
    }
  }
})

t.test("read fills parts, also in shared memory, and refuses what lies outside", async (t) => {
  const path = fileURLToPath(new URL("model/weights.safetensors", fixtures))
  const file = await openSafetensors(path)
  const name = "layers.1.ffn.proj_2.weight"
  const all = await readAll(file, name)
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true })
  const part = new Uint8Array(memory.buffer, 100, 33)
  await file.read(name, 7, part)
  t.same([...part], [...all.subarray(7, 40)])
  t.equal(file.metadata.get("model"), "tiny-a")
  for (const [start, bytes] of [
    [all.length, 1],
    [0, all.length + 1],
    [-1, 1],
    [0.5, 1],
    [Number.NaN, 1],
  ] as const) {
    await t.rejects(file.read(name, start, new Uint8Array(bytes)), {
      name: "RangeError",
      message: `${path}: "${name}" has ${all.length} bytes, asked for ${bytes} from ${start}`,
    })
  }
  await t.rejects(file.read("__proto__", 0, part), { name: "RangeError", message: /has no tensor/ })
  await file.close()
  await file.close()
  await t.rejects(file.read(name, 0, part), { message: `${path} is closed. Open it again` })
})

t.test("a file that shrinks while it is open gives an error, not a wait", async (t) => {
  const path = save(fileOf({ x: f32([4], 0, 16) }, 16))
  const file = await openSafetensors(path)
  truncateSync(path, 60)
  await t.rejects(readAll(file, "x"), { message: /ended early: it changed while open/ })
  await file.close()
})

t.test("unusual but valid files open", async (t) => {
  const proto = '{"__proto__":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"constructor":'
  const valid: [string, Uint8Array, string[]][] = [
    ["no tensors", fileOf("{}"), []],
    ["padded", fileOf('{"x":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}    ', 1), ["x"]],
    ["scalar", fileOf({ x: f32([], 0, 4) }, 4), ["x"]],
    ["empty tensor", fileOf({ x: f32([0, 7], 0, 0), y: f32([1], 0, 4) }, 4), ["x", "y"]],
    ["any order", fileOf({ b: f32([1], 4, 8), a: f32([1], 0, 4) }, 8), ["b", "a"]],
    [
      "names of Object.prototype",
      fileOf(`${proto}{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8),
      ["__proto__", "constructor"],
    ],
    [
      "escaped name",
      fileOf('{"\\u0061\\"\\\\":{"dtype":"I8","shape":[0],"data_offsets":[0,0]}}'),
      ['a"\\'],
    ],
  ]
  for (const [what, bytes, names] of valid) {
    const file = await openSafetensors(save(bytes))
    t.same([...file.tensors.keys()], names, what)
    for (const name of names) await readAll(file, name)
    await file.close()
  }
  t.equal(({} as Record<string, unknown>).dtype, undefined, "Object.prototype is untouched")
})

const ok = { x: f32([2], 0, 8) }
const entry = '{"dtype":"U8","shape":[1],"data_offsets":[0,1]}'
const hostile: readonly [Uint8Array, string][] = [
  [new Uint8Array(0), "it has 0 bytes, too few for a header"],
  [new Uint8Array(9), "it has 9 bytes, too few for a header"],
  [new Uint8Array(16), "the header does not begin with {"],
  [fileOf(ok, 8, 200), "a header of 200 bytes in a file of 70, it may be cut off"],
  [fileOf(ok, 8, 100_000_001), "a header of 100000001 bytes, at most 100000000 are allowed"],
  [fileOf(ok, 8, 2n ** 64n - 1n), "a header of 18446744073709552000 bytes, at most"],
  [fileOf(ok, 8, 20), "is not JSON: "],
  [fileOf("[]"), "the header does not begin with {"],
  [fileOf('\ufeff{"a":1}'), "the header does not begin with {"],
  [fileOf("{not json}"), "is not JSON: "],
  [fileOf('{"a":'), "is not JSON: "],
  [fileOf('{"a'), "is not JSON: "],
  [fileOf('{"a\\'), "is not JSON: "],
  [fileOf('{"\\x":1}'), "is not JSON: "],
  [fileOf('{"\u001b[31m":1}'), "is not JSON: "],
  [fileOf(new Uint8Array([123, 34, 255, 34, 125])), "is not UTF-8 text"],
  [fileOf(`{"a":${"[".repeat(100_000)}`), "nests deeper than 4"],
  [fileOf(`{"a":[${"1,".repeat(2_000_000)}`), "has more than 2000000 values"],
  [fileOf(`{"a":${entry},"a":${entry}}`, 1), 'holds "a" twice'],
  [fileOf(`{"a":${entry},"\\u0061" :${entry}}`, 1), 'holds "a" twice'],
  [fileOf(`{"__metadata__":{},"__metadata__":{},"a":${entry}}`, 1), 'holds "__metadata__" twice'],
  [fileOf('{"a":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}}', 1), "twice"],
  [fileOf({ __metadata__: 3 }), "__metadata__ is 3, expected an object"],
  [fileOf({ __metadata__: { a: 3 } }), 'metadata "a" is 3, expected text'],
  [fileOf({ x: null }), 'tensor "x" is null, expected an object'],
  [fileOf({ x: [] }), 'tensor "x" is [], expected an object'],
  [fileOf({ x: {} }), 'tensor "x" has dtype missing, expected one of F64'],
  [fileOf({ x: { ...ok.x, dtype: "F31" } }, 8), 'tensor "x" has dtype "F31", expected one of'],
  [fileOf({ x: { ...ok.x, dtype: "constructor" } }, 8), 'has dtype "constructor"'],
  [fileOf({ x: f32(2, 0, 8) }, 8), 'tensor "x" has shape 2, expected whole numbers'],
  [fileOf({ x: f32([2.5], 0, 10) }, 10), 'tensor "x" has shape [2.5], expected whole'],
  [fileOf({ x: f32([-2], 0, 8) }, 8), 'tensor "x" has shape [-2], expected whole'],
  [fileOf({ x: f32(["2"], 0, 8) }, 8), 'tensor "x" has shape ["2"], expected whole'],
  [fileOf('{"x":{"dtype":"F32","shape":[1e999],"data_offsets":[0,8]}}', 8), "has shape [Infinity]"],
  [fileOf({ x: f32([2 ** 53], 0, 8) }, 8), "expected whole numbers"],
  [fileOf({ x: f32([2 ** 31, 2 ** 31], 0, 8) }, 8), "[2147483648, 2147483648], too large"],
  [fileOf({ x: f32(Array(64).fill(2), 0, 0) }), "has shape [2, 2, 2, 2, 2, 2, …], too large"],
  [fileOf({ x: f32([2 ** 32, 2 ** 32, 0], 0, 0) }), "too large"],
  [fileOf({ x: f32([2]) }, 8), 'tensor "x" has data_offsets [], expected [begin, end]'],
  [fileOf({ x: f32([2], 0, 8, 8) }, 8), "expected [begin, end]"],
  [fileOf({ x: { dtype: "F32", shape: [2] } }, 8), "has data_offsets missing"],
  [fileOf({ x: f32([2], 0.5, 8.5) }, 9), "has data_offsets [0.5, 8.5], expected [begin"],
  [fileOf({ x: f32([2], -8, 0) }, 8), "has data_offsets [-8, 0], expected [begin"],
  [fileOf({ x: f32([2], 8, 0) }, 8), "has data_offsets [8, 0], expected 8 bytes for F32 [2]"],
  [fileOf({ x: f32([2], 0, 7) }, 7), "has data_offsets [0, 7], expected 8 bytes for F32 [2]"],
  [fileOf({ x: f32([0], 2 ** 53 - 1, 2 ** 53 - 1) }), "leaves a gap before it"],
  [fileOf({ x: f32([2], 0, 8), y: f32([2], 4, 12) }, 12), 'tensor "y" at data byte 4 overlaps'],
  [fileOf({ x: f32([2], 0, 8), y: f32([2], 0, 8) }, 8), 'tensor "y" at data byte 0 overlaps'],
  [fileOf({ x: f32([2], 4, 12) }, 12), 'tensor "x" at data byte 4 leaves a gap before it'],
  [fileOf({ x: f32([1], 0, 4), y: f32([1], 8, 12) }, 12), 'tensor "y" at data byte 8 leaves a gap'],
  [fileOf(ok, 12), "4 bytes follow the last tensor"],
  [fileOf(ok, 7), 'tensor "x" needs the file to be 70 bytes long, it is 69 and may be cut off'],
  [fileOf({ [`\u001b[2J${"a".repeat(500)}`]: 3 }), `tensor "\\u001b[2J${"a".repeat(96)}…" is 3`],
]

t.test("a hostile file gives one clear SyntaxError that names it", async (t) => {
  for (const [bytes, message] of hostile) {
    const path = save(bytes)
    const error = await openSafetensors(path).then(
      () => new Error("opened"),
      (e: Error) => e,
    )
    t.equal(error.name, "SyntaxError", message)
    t.ok(error.message.includes(message), error.message)
    t.ok(error.message.includes(path) && error.message.length < 600)
    t.notMatch(error.message, /\p{Cc}/u)
  }
})

t.test("what is no file at all gives an Error with the path", async (t) => {
  const missing = join(root, "missing.safetensors")
  for (const [path, reason] of [
    [missing, /no such file/],
    [root, /it is a folder/],
    ["/dev/null", /it is not a plain file/],
    ["a\0b", /null bytes/],
  ] as const) {
    await t.rejects(openSafetensors(path), { name: "Error", message: reason })
  }
  await t.rejects(openSafetensors(missing), { message: `Cannot open ${missing}` })
})

/** xorshift32: the same mutations on every machine. */
function randomNumbers(seed: number): (below: number) => number {
  let x = seed
  return (below) => {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    return (x >>> 0) % below
  }
}

const pieces = ["{", "}", "[", "]", '"', ",", ":", "\\", "-", "9", "0", "e", "null", '"x":', " "]

/** One to three edits, most of them in the header. */
function mutate(valid: Uint8Array, random: (below: number) => number): Uint8Array {
  let bytes = Uint8Array.from(valid)
  for (let n = 1 + random(3); n > 0 && bytes.length > 8; n--) {
    const at = random(3) === 0 ? random(bytes.length) : 8 + random(bytes.length - 8)
    const piece = text(pieces[random(pieces.length)])
    const kind = random(6)
    if (kind === 0) bytes = bytes.slice(0, at)
    else if (kind === 1) bytes[at] = random(256)
    else if (kind === 2) bytes[at] = (bytes[at] as number) ^ (1 << random(8))
    else if (kind === 3) bytes.set(piece.subarray(0, bytes.length - at), at)
    else if (kind === 4) bytes.copyWithin(at, random(bytes.length), random(bytes.length))
    else bytes[random(8)] = random(256)
  }
  return bytes
}

t.test("3000 random mutations open and read consistently, or give a clear error", async (t) => {
  const valid = fileOf(
    { __metadata__: { a: "b" }, x: f32([2, 3], 0, 24), yy: { ...f32([3], 24, 30), dtype: "F16" } },
    30,
  )
  const random = randomNumbers(7)
  const path = join(root, "mutated.safetensors")
  let opened = 0
  for (let i = 0; i < 3000; i++) {
    const bytes = mutate(valid, random)
    writeFileSync(path, bytes)
    try {
      const file = await openSafetensors(path)
      let sum = 0
      for (const name of file.tensors.keys()) sum += (await readAll(file, name)).length
      const header = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true))
      await file.close()
      opened++
      if (sum !== bytes.length - 8 - header) t.fail(`mutation ${i}: read ${sum} bytes`)
    } catch (error) {
      const { name, message } = error as Error
      const clear = name === "SyntaxError" && message.includes(path)
      if (!clear) t.fail(`mutation ${i}: ${name}: ${message}`)
    }
  }
  t.comment(`${opened} of 3000 still open`)
  t.ok(opened > 50 && opened < 2500)
})
