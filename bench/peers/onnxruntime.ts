// onnxruntime, native and as WebAssembly: the graph that `elm convert --to onnx` writes, with the caches
// that a run gives handed to the next.
import { readFileSync } from "node:fs"
import { join } from "node:path"
import type { ModelConfig } from "../../model/index.ts"
import type { Peer, PeerModel, PeerOptions, PeerRun } from "./peer.ts"

interface OrtTensor {
  readonly data: Float32Array
}
type Feeds = Record<string, OrtTensor>
interface Session {
  run(feeds: Feeds): Promise<Feeds>
  release(): Promise<void>
}
/** What is used of the package. */
interface Ort {
  readonly env: { readonly wasm: { numThreads?: number } }
  readonly Tensor: new (type: string, data: ArrayBufferView, dims: readonly number[]) => OrtTensor
  readonly InferenceSession: {
    create(model: string | Uint8Array, options: object): Promise<Session>
  }
}

const modelFile = "model.onnx"
const dataFile = "model.onnx.data"

async function openNative(folder: string, ort: Ort, { threads }: PeerOptions): Promise<Session> {
  return ort.InferenceSession.create(join(folder, modelFile), { intraOpNumThreads: threads })
}

async function openWeb(folder: string, ort: Ort, { threads }: PeerOptions): Promise<Session> {
  ort.env.wasm.numThreads = threads
  const read = (name: string) => readFileSync(join(folder, name))
  const externalData = [{ path: dataFile, data: read(dataFile) }]
  return ort.InferenceSession.create(read(modelFile), { externalData })
}

const modelOver = (session: Session, ort: Ort, options: PeerOptions): PeerModel => ({
  async generate(prompt, count) {
    const config = options.config as ModelConfig
    const start = performance.now()
    const tokens: number[] = []
    let promptMs = 0
    let caches = emptyCaches(ort, config)
    let ids = prompt
    let past = 0
    while (tokens.length < count) {
      const results = await session.run({ ...caches, ...feedsOf(ort, ids, past) })
      past += ids.length
      const next = argmaxOf((results.logits as OrtTensor).data)
      tokens.push(next)
      if (promptMs === 0) promptMs = performance.now() - start
      ids = [next]
      const named = Object.entries(results).filter(([name]) => name !== "logits")
      caches = Object.fromEntries(
        named.map(([name, value]) => [name.replace("present", "past"), value]),
      )
    }
    return { tokens, promptMs, totalMs: performance.now() - start } satisfies PeerRun
  },
  close: () => session.release(),
})

function emptyCaches({ Tensor }: Ort, { layers, keyHeads, headDim }: ModelConfig): Feeds {
  const feeds: Feeds = {}
  for (let i = 0; i < layers; i++) {
    for (const kind of ["key", "value"]) {
      const dims = [1, keyHeads[i] as number, 0, headDim]
      feeds[`past.${i}.${kind}`] = new Tensor("float32", new Float32Array(), dims)
    }
  }
  return feeds
}

function feedsOf({ Tensor }: Ort, ids: readonly number[], past: number): Feeds {
  const total = past + ids.length
  const input = BigInt64Array.from(ids.map(BigInt))
  return {
    input_ids: new Tensor("int64", input, [ids.length]),
    last: new Tensor("int32", Int32Array.of(total - 1), [1]),
    total: new Tensor("int32", Int32Array.of(total), [1]),
  }
}

function argmaxOf(values: Float32Array): number {
  let best = 0
  for (let i = 1; i < values.length; i++) {
    if ((values[i] as number) > (values[best] as number)) best = i
  }
  return best
}

const peerWith = (name: string, openSession: typeof openNative): Peer => ({
  name,
  format: "onnx",
  dtypes: ["f32", "q8", "q4"],
  async open(path, module, options) {
    const ort = module as Ort
    return modelOver(await openSession(path, ort, options), ort, options)
  },
})

export const onnxruntimeNode = peerWith("onnxruntime-node", openNative)
export const onnxruntimeWeb = peerWith("onnxruntime-web", openWeb)
