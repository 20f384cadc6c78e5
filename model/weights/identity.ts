// What tells the weights of a model from others: a hash of all of them, with what its config says.
import { type Backend, bufferOf, offsetOf, type Tensor } from "../../engine/index.ts"
import type { AdapterParts } from "../adapters/parts.ts"
import type { DecoderConfig } from "../architecture.ts"
import { configJson } from "../config.ts"
import type { Usage } from "../usage.ts"

/** What of a model is hashed. */
interface Identified {
  readonly decoder: { readonly config: DecoderConfig; readonly adapter?: AdapterParts }
  readonly tensors: ReadonlyMap<string, Tensor>
  whole(name: string): Promise<Tensor>
  readonly backend: Backend
  readonly usage: Usage
}

/** Found once, until the weights move. */
const known = new WeakMap<object, { readonly writes: number; readonly hash: string }>()

/** Bytes that are read and hashed at a time. */
const pieceBytes = 32 << 20

/** The hash of a model's config and of all its weights as they lie on the backend, and of an adapter beside
 *  them. It reads every one. */
export async function identityOf(model: Identified): Promise<string> {
  const { decoder, tensors, backend } = model
  const base = await weightsHash(model)
  if (!decoder.adapter) return base
  const { linears, tables } = decoder.adapter
  const magnitudes = [...linears.values()].flatMap(({ dora }) => dora?.magnitude ?? [])
  const beside = [...linears.values(), ...tables.values()].flatMap(({ a, b, scale }) => [
    a.weight,
    b.weight,
    scale,
  ])
  const names = new Map([...tensors].map(([name, tensor]) => [tensor, name]))
  const weights = [...linears.keys(), ...tables.keys()].map((tensor) => names.get(tensor) ?? "")
  const all = [...beside, ...magnitudes]
  return hashOf([base, ...weights], all.keys(), async (i) => all[i] as Tensor, backend)
}

async function weightsHash(model: Identified): Promise<string> {
  const { decoder, tensors, backend, usage } = model
  const { writes } = usage
  const found = known.get(tensors)
  if (found?.writes === writes) return found.hash
  const before = JSON.stringify(configJson(decoder.config))
  const hash = await hashOf([before], tensors.keys(), (name) => model.whole(name), backend)
  known.set(tensors, { writes, hash })
  return hash
}

async function hashOf<K>(
  before: readonly string[],
  names: Iterable<K>,
  tensorOf: (name: K) => Promise<Tensor>,
  backend: Backend,
): Promise<string> {
  const parts = [...before]
  for (const name of names) {
    const tensor = await tensorOf(name)
    const offset = offsetOf(tensor)
    parts.push(`${name} ${tensor.dtype} ${tensor.shape}`)
    for (let at = 0; at < tensor.bytes; at += pieceBytes) {
      const length = Math.min(pieceBytes, tensor.bytes - at)
      const bytes = await backend.read(bufferOf(tensor), length, offset + at)
      parts.push(await sha256(new Uint8Array(bytes)))
    }
  }
  return sha256(new TextEncoder().encode(parts.join("\n")))
}

/** SHA-256 in hexadecimal digits. Throws Error in a page that has no cryptography: it is not secure. */
export async function sha256({ buffer, byteOffset, byteLength }: ArrayBufferView): Promise<string> {
  const subtle = globalThis.crypto?.subtle
  if (!subtle) {
    throw new Error("a prompt cache needs crypto.subtle, which pages have over https and localhost")
  }
  const bytes = new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength)
  const digest = new Uint8Array(await subtle.digest("SHA-256", bytes))
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("")
}
