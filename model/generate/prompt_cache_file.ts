// A prompt cache as a safetensors file: its tokens, and the keys and values of every layer. Its metadata
// ties it to the weights that gave them and says what the content hashes to.
import { type Backend, readBound, type Tensor } from "../../engine/index.ts"
import {
  type SafetensorsFile,
  safetensorsOf,
  type TensorData,
  writeSafetensors,
} from "../checkpoints/safetensors.ts"
import { type FileSource, openFile, pathOf, treeOf } from "../files/source.ts"
import { fileOf, type OpenFile } from "../files/tree.ts"
import { show } from "../json.ts"
import { identityOf, sha256 } from "../weights/identity.ts"
import type { Session } from "./session.ts"
import type { Source } from "./source.ts"
import { headsOf, put } from "./state.ts"

const format = "openelm-prompt-cache"

/** Every head of every layer under the name that it has in the file.  (count, E) each */
const named = (session: Session, count: number): [name: string, heads: Tensor[]][] =>
  session.caches.flatMap(({ keys, values }, i): [string, Tensor[]][] => [
    [`keys.${i}`, headsOf(keys, count)],
    [`values.${i}`, headsOf(values, count)],
  ])

/** Rows of q8 go as the bytes that they are. */
const fileTypes: Readonly<Record<string, TensorData["dtype"]>> = {
  f32: "F32",
  f16: "F16",
  u8: "U8",
}

/** What was read into a session. */
export interface Kept {
  readonly ids: readonly number[]
  /** Of the ids after the first `keep`, how many slides have dropped. */
  readonly dropped: number
  readonly keep: number
}

/** Writes keys and values of what the session has read. */
export async function writeCache(
  path: string,
  source: Source,
  session: Session,
  { ids, dropped, keep }: Kept,
): Promise<void> {
  const { backend, options } = source
  const tensors = new Map<string, TensorData>()
  const numbers = Int32Array.from(ids)
  tensors.set("ids", { dtype: "I32", shape: [ids.length], data: numbers })
  const hashes = [await sha256(numbers)]
  for (const [name, heads] of named(session, ids.length - dropped)) {
    const bytes = await bytesOf(heads, backend)
    hashes.push(await sha256(bytes))
    const { dtype, shape } = heads[0] as Tensor
    const all = [heads.length, ...shape]
    tensors.set(name, { dtype: fileTypes[dtype] as TensorData["dtype"], shape: all, data: bytes })
  }
  await writeSafetensors(path, tensors, {
    ...{ format, version: "1", model: await identityOf(source), cache: options.cache },
    ...{ dropped: String(dropped), keep: String(keep) },
    content: await contentHash([String(dropped), String(keep), ...hashes]),
  })
}

const contentHash = (parts: readonly string[]): Promise<string> =>
  sha256(new TextEncoder().encode(parts.join(" ")))

async function bytesOf(heads: readonly Tensor[], backend: Backend): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for (const head of heads) {
    if (head.size === 0) continue
    const { buffer, byteOffset, byteLength } = await readBound(head, backend)
    parts.push(new Uint8Array(buffer, byteOffset, byteLength))
  }
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

/** Puts keys and values of a file into the session. */
export async function readCache(from: FileSource, source: Source, session: Session): Promise<Kept> {
  const file = await safetensorsOf(await opened(from))
  try {
    await check(file, source)
    const { path, tensors, metadata } = file
    const [length = 0] = tensors.get("ids")?.shape ?? []
    const [dropped = 0, keep = 0] = ["dropped", "keep"].map((name) => Number(metadata.get(name)))
    const count = length - dropped
    if (!Number.isInteger(dropped) || dropped < 0 || count < 0) {
      throw new SyntaxError(`${path} is damaged: of ${length} tokens, ${dropped} are dropped`)
    }
    if (count > source.options.capacity) {
      throw new RangeError(
        `${path} holds ${count} tokens, and the cache ${source.options.capacity} positions. ` +
          "Load the model with a larger capacity",
      )
    }
    return { ids: await fill(file, source, session, length, count), dropped, keep }
  } finally {
    await file.close()
  }
}

/** Also of a page. */
const opened = (from: FileSource): Promise<OpenFile> =>
  typeof from === "string" || from instanceof URL
    ? openFile(pathOf(from))
    : fileOf(treeOf(from, {}, "promptCache.load: the file"))

/** Throws where the file is none of these, or of another model. */
async function check({ path, metadata }: SafetensorsFile, source: Source): Promise<void> {
  if (metadata.get("format") !== format || metadata.get("version") !== "1") {
    throw new RangeError(
      `${path} is no prompt cache: its format is ${show(metadata.get("format"))}, expected ` +
        `${show(format)} of version 1`,
    )
  }
  const { cache } = source.options
  if (metadata.get("cache") !== cache) {
    throw new RangeError(
      `${path} holds keys and values in ${show(metadata.get("cache"))}, expected ${cache}. Load the ` +
        "model with that as its cache's dtype, or give another file",
    )
  }
  if (metadata.get("model") === (await identityOf(source))) return
  throw new RangeError(
    `${path} holds keys and values of other weights than those of ${source.decoder.config.name}, or ` +
      "of the same in another dtype. Give the model that it was made with, or another file",
  )
}

/** All of it is read and checked before any of it is put anywhere. */
async function fill(
  { path, tensors, metadata, read }: SafetensorsFile,
  { backend }: Source,
  session: Session,
  length: number,
  count: number,
): Promise<readonly number[]> {
  const content = async (name: string, bytes: number): Promise<Uint8Array> => {
    const found = tensors.get(name)?.bytes
    if (found !== bytes) {
      throw new SyntaxError(`${path} is damaged: ${name} has ${show(found)} bytes, not ${bytes}`)
    }
    const target = new Uint8Array(bytes)
    await read(name, 0, target)
    hashes.push(await sha256(target))
    return target
  }
  const hashes = ["dropped", "keep"].map((name) => metadata.get(name) ?? "")
  const ids = new Int32Array((await content("ids", 4 * length)).buffer)
  const filling: [Tensor, Uint8Array][] = []
  for (const [name, heads] of named(session, count)) {
    const each = (heads[0] as Tensor).bytes
    const bytes = await content(name, heads.length * each)
    for (const [g, head] of heads.entries()) {
      filling.push([head, bytes.subarray(g * each, (g + 1) * each)])
    }
  }
  if ((await contentHash(hashes)) !== metadata.get("content")) {
    throw new SyntaxError(`${path} is damaged: its content is not what was written. Make it again`)
  }
  for (const [head, bytes] of filling) if (bytes.length > 0) put(backend, head, bytes)
  return [...ids]
}
