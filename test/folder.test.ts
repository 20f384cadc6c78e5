// Model folders: one file and shards, names, shapes, dtypes, and everything that is refused.
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { TensorData } from "../model/checkpoints/safetensors.ts"
import { parseConfig, tensorShapes } from "../model/config.ts"
import { type OpenedModel, openModel, openSafetensors, writeSafetensors } from "../model/index.ts"
import t, { type Test } from "./tap.ts"

const fixture = fileURLToPath(new URL("../../test/fixtures/model/", import.meta.url))
const root = t.testdir({})
const tiny = (): unknown => JSON.parse(readFileSync(join(fixture, "config.json"), "utf8"))
const weights = new Map<string, TensorData & { readonly data: Uint8Array }>()

t.before(async () => {
  const file = await openSafetensors(join(fixture, "weights.safetensors"))
  for (const [name, { dtype, shape, bytes }] of file.tensors) {
    const data = new Uint8Array(bytes)
    await file.read(name, 0, data)
    weights.set(name, { dtype, shape, data })
  }
  await file.close()
})

type Tensors = ReadonlyMap<string, TensorData>
let folders = 0

/** A new folder with the tiny model's config.json, and weights unless none are given. */
async function folderOf(tensors?: Tensors): Promise<string> {
  const path = join(root, `model-${folders++}`)
  mkdirSync(path)
  cpSync(join(fixture, "config.json"), join(path, "config.json"))
  if (tensors) await writeSafetensors(join(path, "model.safetensors"), tensors)
  return path
}

const changed = (change: (tensors: Map<string, TensorData>) => void): Tensors => {
  const tensors = new Map<string, TensorData>(weights)
  change(tensors)
  return tensors
}

const zeros = (dtype: TensorData["dtype"], shape: readonly number[], itemBytes: number) => {
  return { dtype, shape, data: new Uint8Array(shape.reduce((a, b) => a * b, itemBytes)) }
}

async function sameWeights(t: Test, folder: OpenedModel): Promise<void> {
  for (const [name, { shape }] of tensorShapes(folder.config)) {
    const source = folder.source(name)
    const { data } = weights.get(name) as { readonly data: Uint8Array }
    const rows = shape[0] as number
    const rowBytes = data.length / rows
    t.same(source.shape, shape)
    const target = new Uint8Array(data.length)
    for (let start = 0; start < rows; start += 5) {
      const count = Math.min(5, rows - start)
      const part = target.subarray(start * rowBytes, (start + count) * rowBytes)
      await source.readRows(start, count, part)
    }
    t.equal(Buffer.compare(target, data), 0, name)
  }
}

t.test("openModel reads names as wrappers and whole models write them", async (t) => {
  const written: readonly ((name: string) => string)[] = [
    (name) => name,
    (name) => `transformer.${name}`,
    (name) => `module.${name}`,
    (name) => `_orig_mod.${name}`,
    (name) => `model.${name}`,
    (name) => `_orig_mod.transformer.${name}`,
    (name) => `module._orig_mod.model.transformer.${name}`,
    (name) => `model._orig_mod.module.${name}`,
    (name) => name.replace(/^layers\.\d+\./, "transformer.$&_orig_mod."),
    (name) => name.replace(/attn\./, "_fsdp_wrapped_module.attn._checkpoint_wrapped_module."),
  ]
  for (const rename of written) {
    const renamed = new Map<string, TensorData>([...weights].map(([n, x]) => [rename(n), x]))
    renamed.set(rename("causal_mask"), zeros("BOOL", [2, 2], 1))
    renamed.set(rename("layers.0.attn.pos_embedding.inv_freq"), zeros("F32", [8], 4))
    const folder = await openModel(await folderOf(renamed))
    t.same(folder.config, parseConfig(tiny(), "config.json"))
    await sameWeights(t, folder)
    await folder.close()
    const { readRows } = folder.source("norm.weight")
    await t.rejects(readRows(0, 48, new Uint8Array(192)), { message: /is closed/ })
  }
  const twice = changed((w) =>
    w.set("module.norm.weight", weights.get("norm.weight") as TensorData),
  )
  await t.rejects(openModel(await folderOf(twice)), {
    message: /has both "norm.weight" and "module.norm.weight"/,
  })
  const head = changed((w) => w.set("module.lm_head.weight", zeros("F32", [128, 48], 4)))
  await t.rejects(openModel(await folderOf(head)), { message: /has lm_head\.weight, but/ })
})

t.test("readRows and source refuse what is not there", async (t) => {
  const folder = await openModel(await folderOf(weights))
  const { readRows } = folder.source("layers.3.ffn.proj_2.weight")
  for (const [start, count, bytes] of [
    [0, 49, 49 * 768],
    [48, 1, 768],
    [-1, 1, 768],
    [0.5, 1, 768],
    [0, 1, 767],
    [0, -1, 0],
  ] as const) {
    await t.rejects(readRows(start, count, new Uint8Array(bytes)), {
      name: "RangeError",
      message: `asked for ${count} rows from ${start} of 48 into ${bytes} bytes, each takes 768`,
    })
  }
  t.throws(() => folder.source("lm_head.weight"), { message: /has no weight "lm_head.weight"/ })
  await folder.close()
})

t.test("rows of the embedding beyond the vocabulary are left out", async (t) => {
  const embedding = weights.get("token_embeddings.weight") as { readonly data: Uint8Array }
  const data = [embedding.data, new Uint8Array(3 * 48 * 4).fill(255)]
  const larger = changed((w) => {
    w.set("token_embeddings.weight", { dtype: "F32", shape: [131, 48], data })
  })
  const folder = await openModel(await folderOf(larger))
  await sameWeights(t, folder)
  const { readRows, shape } = folder.source("token_embeddings.weight")
  t.same(shape, [128, 48])
  await t.rejects(readRows(128, 1, new Uint8Array(192)), { message: /of 128 into/ })
  await folder.close()
})

t.test("half-precision weights keep their dtype", async (t) => {
  const shapes = [...tensorShapes(parseConfig(tiny(), "config.json"))]
  const mixed = new Map(
    shapes.map(([name, { shape, kind }], i) => {
      if (kind === "vector") return [name, zeros("F32", shape, 4)]
      return [name, zeros(i % 2 ? "F16" : "BF16", shape, 2)]
    }),
  )
  const folder = await openModel(await folderOf(mixed))
  t.equal(folder.source("token_embeddings.weight").dtype, "bf16")
  t.equal(folder.source("layers.0.attn.qkv_proj.weight").dtype, "f16")
  t.equal(folder.source("norm.weight").dtype, "f32")
  await folder.source("layers.0.attn.qkv_proj.weight").readRows(63, 1, new Uint8Array(96))
  await folder.close()
})

const refusals: readonly [(w: Map<string, TensorData>) => void, string, RegExp][] = [
  [
    (w) => w.delete("norm.weight"),
    "RangeError",
    /misses tensor "norm.weight"\. Is its config.json/,
  ],
  [
    (w) => [0, 1, 2, 3].map((i) => w.delete(`layers.${i}.attn_norm.weight`)),
    "RangeError",
    /misses 4 tensors: "layers\.0\.attn_norm.weight", "layers\.1.*", "layers\.2.*" and 1 more\./,
  ],
  [
    (w) => w.set("layers.4.ffn_norm.weight", zeros("F32", [48], 4)),
    "RangeError",
    /has unexpected tensor "layers\.4\.ffn_norm\.weight"\. Is its config.json \(4 layers\)/,
  ],
  [
    (w) => w.set("lm_head.weight", zeros("F32", [128, 48], 4)),
    "RangeError",
    /lm_head\.weight, but OpenELM's output shares token_embeddings\.weight\. Save the model/,
  ],
  [
    (w) => w.set("transformer.norm.weight", zeros("F32", [48], 4)),
    "RangeError",
    /has both "norm.weight" and "transformer.norm.weight"/,
  ],
  [
    (w) => w.set("norm.weight", zeros("F32", [47], 4)),
    "RangeError",
    /model\.safetensors: "norm.weight" has shape \[47\], expected \[48\]\. Is config.json/,
  ],
  [(w) => w.set("norm.weight", zeros("F32", [49], 4)), "RangeError", /\[49\], expected \[48\]/],
  [(w) => w.set("norm.weight", zeros("F32", [], 4)), "RangeError", /shape \[\], expected \[48\]/],
  [(w) => w.set("norm.weight", zeros("F32", [48, 1], 4)), "RangeError", /shape \[48, 1\]/],
  [
    (w) => w.set("token_embeddings.weight", zeros("F32", [127, 48], 4)),
    "RangeError",
    /has shape \[127, 48\], expected \[128, 48\] or more rows/,
  ],
  [
    (w) => w.set("token_embeddings.weight", zeros("F32", [128, 49], 4)),
    "RangeError",
    /has shape \[128, 49\], expected \[128, 48\]/,
  ],
  [
    (w) => w.set("norm.weight", zeros("F64", [48], 8)),
    "TypeError",
    /"norm.weight" is F64, expected F32, F16 or BF16\. Convert the model/,
  ],
]

t.test("weights that do not fit the config give one error that says how", async (t) => {
  for (const [change, name, message] of refusals) {
    const path = await folderOf(changed(change))
    await t.rejects(openModel(path), { name, message })
  }
})

t.test("a folder without its files, or with a broken config, says so", async (t) => {
  const empty = await folderOf()
  await t.rejects(openModel(empty), {
    message: `${empty} has neither model.safetensors nor model.safetensors.index.json`,
  })
  const config = join(empty, "config.json")
  for (const [text, name, message] of [
    ["{", "SyntaxError", /config\.json is not JSON: /],
    ["[]", "TypeError", /config\.json is \[\], expected a JSON object/],
    ['{"model_dim": 1, "model_dim": 2}', "SyntaxError", /holds "model_dim" twice/],
    ["[".repeat(2 ** 19), "SyntaxError", /nests deeper than 16/],
    [" ".repeat(2 ** 20 + 1), "RangeError", /has 1048577 bytes, expected at most 1048576/],
  ] as const) {
    writeFileSync(config, text)
    await t.rejects(openModel(empty), { name, message })
  }
  rmSync(config)
  await t.rejects(openModel(empty), { message: `Cannot open ${config}: no such file` })
})

// ---- Shards -------------------------------------------------------------------------------------

const shard = (i: number): string => `model-0000${i}-of-00002.safetensors`
const inFirst = (name: string): boolean => /^(token|layers\.[01])/.test(name)
type Index = Record<string, unknown>

/** A sharded folder; `edit` changes the index, `tensors` what the shards hold. */
async function shardedFolder(edit: (map: Index) => void, first: Tensors, second: Tensors) {
  const path = await folderOf()
  const map: Index = {}
  for (const name of weights.keys()) map[name] = shard(inFirst(name) ? 1 : 2)
  edit(map)
  const index = { metadata: { total_size: 1 }, weight_map: map }
  writeFileSync(join(path, "model.safetensors.index.json"), JSON.stringify(index))
  await writeSafetensors(join(path, shard(1)), first)
  await writeSafetensors(join(path, shard(2)), second)
  return path
}

const part = (wanted: (name: string) => boolean): Tensors =>
  new Map([...weights].filter(([name]) => wanted(name)))
const first = () => part(inFirst)
const second = () => part((name) => !inFirst(name))

t.test("openModel reads shards through their index", async (t) => {
  const folder = await openModel(await shardedFolder(() => {}, first(), second()))
  await sameWeights(t, folder)
  await folder.close()
})

t.test("an index that disagrees with its shards, or leaves the folder, is refused", async (t) => {
  const norm = (name: string) => name === "norm.weight"
  const cases: [(map: Index) => void, Tensors, Tensors, RegExp][] = [
    [() => {}, first(), part((n) => !inFirst(n) && !norm(n)), /"norm.weight" is not in its shard/],
    [() => {}, part((n) => inFirst(n) || norm(n)), second(), /"norm.weight" is in two shards/],
    [
      (m) => delete m["norm.weight"],
      first(),
      second(),
      /does not list "norm.weight" of model-00002/,
    ],
    [
      (m) => Object.assign(m, { a: "b.safetensors" }),
      first(),
      second(),
      /"b.safetensors", which is/,
    ],
  ]
  for (const [edit, one, two, message] of cases) {
    await t.rejects(openModel(await shardedFolder(edit, one, two)), { message })
  }
  const outside = ["../x.safetensors", "/x.safetensors", "a/b.safetensors", "a\\b.safetensors"]
  for (const name of [
    ...outside,
    "..",
    "",
    ".x.safetensors",
    "x.bin",
    "a\0.safetensors",
    3,
    null,
  ]) {
    const path = await shardedFolder((m) => Object.assign(m, { a: name }), first(), second())
    await t.rejects(openModel(path), {
      name: "SyntaxError",
      message: /for "a", expected the name of a .safetensors file in the same folder/,
    })
  }
  const path = await shardedFolder(() => {}, first(), second())
  for (const text of ["[]", "{}", '{"weight_map": []}', '{"weight_map": null}']) {
    writeFileSync(join(path, "model.safetensors.index.json"), text)
    await t.rejects(openModel(path), { message: /weight_map is .*, expected an object/ })
  }
})
