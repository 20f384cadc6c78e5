// Files of torch.save: every golden one to the bit, weights that give the same logits as from a folder, and
// what is refused, without anything in a file being run.
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { OpenELM, open } from "../index.ts"
import { openArchive } from "../model/checkpoints/torch/archive.ts"
import { openLegacy } from "../model/checkpoints/torch/legacy.ts"
import { storedView } from "../model/checkpoints/torch/stored.ts"
import { named } from "../model/checkpoints/torch/tensors.ts"
import { openOnDisk } from "../model/files/disk.ts"
import {
  openCheckpoint,
  openModel,
  openSafetensors,
  readConfig,
  type StoredTensor,
} from "../model/index.ts"
import { averageModels } from "../train/run/average.ts"
import { fixture, fixtureJson, golden } from "./fixtures.ts"
import { serveFolder } from "./server.ts"
import t from "./tap.ts"
import { pickled, type Written, zipped } from "./torch_writer.ts"

const dir = mkdtempSync(join(tmpdir(), "openelm-torch-"))
t.teardown(() => rmSync(dir, { recursive: true }))
const { files, model, must_refuse: refused } = fixtureJson("pt/expected.json")

/** Every tensor of a file, those of the optimizer too. */
async function tensorsOf(path: string) {
  const file = await openOnDisk(path)
  const start = new Uint8Array(2)
  await file.readAt(0, start)
  const torch = await (start[0] === 0x50 ? openArchive(file) : openLegacy(file))
  const views = [...named(torch.value, path)]
  const tensors = views.map(([name, view]) => [name, storedView(name, path, view, torch)] as const)
  return { tensors: new Map(tensors), close: file.close }
}

async function bytesOf({ shape, bytes, read }: StoredTensor): Promise<Uint8Array> {
  const data = new Uint8Array(bytes)
  await read(0, shape[0] ?? 1, data)
  return data
}

for (const [name, expected] of Object.entries<string>(files)) {
  t.test(`${name} holds the golden tensors to the bit`, async (t) => {
    const { tensors, close } = await tensorsOf(fixture(`pt/${name}`))
    const wanted = await openSafetensors(fixture(`pt/${expected}`))
    t.same([...tensors.keys()].sort(), [...wanted.tensors.keys()].sort())
    for (const [key, tensor] of tensors) {
      const { dtype, shape, bytes } = wanted.tensors.get(key) as never as StoredTensor
      const data = new Uint8Array(bytes)
      await wanted.read(key, 0, data)
      t.same({ dtype: tensor.dtype, shape: tensor.shape }, { dtype, shape }, key)
      t.same(await bytesOf(tensor), data, key)
      // A row by itself is that row.
      const [rows = 0] = shape
      const row = new Uint8Array(rows === 0 ? 0 : bytes / rows)
      if (rows > 0) await tensor.read(rows - 1, 1, row)
      t.same(row, data.subarray(data.length - row.length), `the last row of ${key}`)
    }
    await wanted.close()
    await close()
  })
}

t.test("weights, a training state and half precisions load as their folder does", async (t) => {
  const backend = await open("wasm", { threads: 1 })
  const ids = [[1, 7, 23, 41, 11]]
  const logitsOf = async (from: string) => {
    const loaded = await OpenELM.load(from, { backend })
    const logits = await loaded.logits(ids)
    const { queryHeads, keyHeads, ffnDims } = loaded.config
    await loaded.close()
    return { logits, queryHeads, keyHeads, ffnDims }
  }
  const { derived, ...config } = model
  const { num_query_heads: queryHeads, num_kv_heads: keyHeads, ffn_dims: ffnDims } = derived
  for (const stem of ["checkpoint_f32", "checkpoint_bf16", "checkpoint_f16"]) {
    const folder = mkdtempSync(join(dir, stem))
    const weights = fixture(`pt/${stem}.expected.safetensors`)
    copyFileSync(weights, join(folder, "model.safetensors"))
    writeFileSync(join(folder, "config.json"), JSON.stringify(config))
    const wanted = await logitsOf(folder)
    t.same(await logitsOf(fixture(`pt/${stem}.pt`)), wanted, stem)
    t.same(await logitsOf(weights), wanted, `${stem}: safetensors by itself`)
    t.match(wanted, { queryHeads, keyHeads, ffnDims })
  }
  await t.rejects(openModel(fixture("ops/dpo.safetensors")), {
    name: "RangeError",
    message: /dpo.safetensors holds .*no weights of a model.*Put its config.json beside/,
  })
  const state = await openModel(fixture("pt/training_checkpoint_epoch_0_iter_3.pt"))
  t.equal(state.config.vocabSize, 48)
  await state.close()
  await backend.close()
})

t.test(
  "a folder with one file of weights is its model, of several one must be named",
  async (t) => {
    const folder = mkdtempSync(join(dir, "folder"))
    copyFileSync(fixture("pt/checkpoint_f32.pt"), join(folder, "one.pt"))
    writeFileSync(join(folder, "config.json"), JSON.stringify({ ...model, model_name: "mine" }))
    const config = await readConfig(folder)
    t.match(config, { name: "mine", maxContext: 32, paddingIndex: 46 })
    copyFileSync(fixture("pt/checkpoint_f32.pt"), join(folder, "two.pt"))
    await t.rejects(readConfig(folder), {
      message: /holds 2 files .*"one.pt", "two.pt".*path of one/,
    })
  },
)

t.test("a page finds the one file of weights among those that it was given", async (t) => {
  const pt = readFileSync(fixture("pt/checkpoint_f32.pt"))
  const config = await readConfig([new File([pt], "mine.pt"), new File(["x"], "notes.txt")])
  t.same(config.ffnDims, [8, 48])
})

t.test("checkpoints average to the golden ones", async (t) => {
  const inputs = [0, 1, 2].map((i) => fixture(`pt/average_input_${i}.pt`))
  const out = join(dir, "average")
  await averageModels(inputs, out)
  const [wanted, made] = await Promise.all([
    golden("pt/average.expected.safetensors"),
    openCheckpoint(out),
  ])
  for (const [name, { values }] of wanted) {
    const tensor = made.tensors.get(name) as StoredTensor
    const data = await bytesOf(tensor)
    t.same(new Float32Array(data.buffer), Float32Array.from(values), name)
  }
  await made.close()
})

t.test("by URL, ranges of a file are read", async (t) => {
  const server = await serveFolder(t, fixture("pt"))
  const loaded = await openModel(`${server.url}/checkpoint_f32.pt`)
  t.same(loaded.config.ffnDims, [8, 48])
  await loaded.close()
})

// ---- Files made here ------------------------------------------------------------------------------

const numbers = Float32Array.from({ length: 24 }, (_, i) => i / 8)
const storage = new Uint8Array(numbers.buffer)

function write(
  name: string,
  tensors: Readonly<Record<string, Written>>,
  protocol = 2,
  how: Parameters<typeof zipped>[1] = {},
): string {
  const path = join(dir, name)
  const members = [
    ["any/data.pkl", pickled(tensors, protocol)],
    ["any/data/0", storage],
  ] as const
  writeFileSync(path, zipped(members, how))
  return path
}

const plain: Written = { shape: [4, 6], key: "0", count: 24 }

for (const protocol of [2, 3, 4]) {
  t.test(`protocol ${protocol}, stored, deflated and with junk after`, async (t) => {
    const turned: Written = { ...plain, shape: [3, 2, 2], strides: [1, 12, 6], offset: 2 }
    const views = { plain, turned }
    for (const how of [{}, { deflate: true }, { junk: 300 }, { wide: true }]) {
      const { tensors, close } = await tensorsOf(write("a.pt", views, protocol, how))
      const get = async (name: string) =>
        new Float32Array((await bytesOf(tensors.get(name) as StoredTensor)).buffer)
      t.same(await get("plain"), numbers)
      const want = [0, 1, 2].flatMap((i) => [0, 6, 12, 18].map((at) => (2 + i + at) / 8))
      t.same([...(await get("turned"))], want)
      await close()
    }
  })
}

t.test("a dict may have the state of a module's, which says nothing of its tensors", async (t) => {
  for (const protocol of [2, 4]) {
    const members = [
      ["any/data.pkl", pickled({ plain }, protocol, true)],
      ["any/data/0", storage],
    ] as const
    const path = join(dir, "state.pt")
    writeFileSync(path, zipped(members))
    const { tensors, close } = await tensorsOf(path)
    t.same([...tensors.keys()], ["plain"])
    await close()
  }
})

t.test("numbers of eight bytes are read as those of four, each rounded once", async (t) => {
  const wide = Float64Array.from({ length: 24 }, (_, i) => Math.PI ** (i - 12))
  const members = [
    ["any/data.pkl", pickled({ plain: { ...plain, type: "DoubleStorage" } })],
    ["any/data/0", new Uint8Array(wide.buffer)],
  ] as const
  const path = join(dir, "wide.pt")
  writeFileSync(path, zipped(members))
  const { tensors, close } = await tensorsOf(path)
  const data = new Uint8Array(4 * 12)
  await tensors.get("plain")?.asF32?.(2, 2, data)
  t.same(new Float32Array(data.buffer), Float32Array.from(wide.subarray(12)))
  await close()
})

t.test("a large matrix that lies turned in its file is read through a window", async (t) => {
  const [rows, columns] = [1500, 1100]
  const values = Float32Array.from({ length: rows * columns }, (_, i) => i % 9973)
  const turned: Written = {
    shape: [columns, rows],
    strides: [1, columns],
    key: "0",
    count: values.length,
  }
  const members = [
    ["any/data.pkl", pickled({ turned })],
    ["any/data/0", new Uint8Array(values.buffer)],
  ] as const
  const path = join(dir, "large.pt")
  writeFileSync(path, zipped(members))
  const { tensors, close } = await tensorsOf(path)
  const data = new Uint8Array(4 * rows * 7)
  await tensors.get("turned")?.read(300, 7, data)
  const found = new Float32Array(data.buffer)
  const wrong = found.findIndex((x, i) => {
    const [r, c] = [300 + Math.floor(i / rows), i % rows]
    return x !== values[c * columns + r]
  })
  t.equal(wrong, -1)
  await close()
})

t.test("what is wrong with a file is said, and names it", async (t) => {
  const wrong: [string, Record<string, Written>, RegExp, Parameters<typeof zipped>[1]?][] = [
    ["of 2^44 numbers", { a: { ...plain, shape: [2 ** 22, 2 ** 22] } }, /reaches to number/],
    ["beyond the end", { a: { ...plain, offset: 1 } }, /reaches to number 24 of storage "0"/],
    ["a wide type", { a: { ...plain, type: "DoubleStorage" } }, /24 numbers of F64, 192 bytes/],
    ["that repeats", { a: { ...plain, shape: [2 ** 18, 2 ** 18], strides: [0, 0] } }, /repeats/],
    ["no storage", { a: { ...plain, key: "1" } }, /its member is missing/],
    ["of no type", { a: { ...plain, type: "QInt8Storage" } }, /torch\.QInt8Storage/],
    ["wrong sums", { a: plain }, /does not have the sum/, { wrongSums: true }],
    ["two sizes", { a: plain, b: { ...plain, count: 23, shape: [1] } }, /or of two sizes/],
  ]
  for (const [name, tensors, message, how] of wrong) {
    await t.rejects(tensorsOf(write("b.pt", tensors, 2, how)), { message }, name)
  }
  const twice = zipped([
    ["a/data.pkl", pickled({ plain })],
    ["a/data/0", storage],
    ["a/data/0", storage],
  ])
  writeFileSync(join(dir, "c.pt"), twice)
  await t.rejects(tensorsOf(join(dir, "c.pt")), { message: /c\.pt .*"a\/data\/0" twice/ })
})

t.test("everything bad is refused in a message that names it, and nothing is run", async (t) => {
  const { marker_that_must_not_appear: marker, files: bad } = refused
  t.same(readdirSync(fixture("pt/bad")).sort(), bad)
  for (const name of bad as string[]) {
    const start = performance.now()
    const error = await openModel(fixture(`pt/bad/${name}`)).then(
      (opened) => opened.close().then(() => undefined),
      (error: Error) => error,
    )
    t.ok(error?.message.includes(name), `${name}: ${error?.message}`)
    t.notMatch(error?.message, /\n|is not a function|undefined/)
    t.ok(performance.now() - start < 5000)
  }
  t.notOk(existsSync(marker))
})
