// llama.cpp by node-llama-cpp, in the binary that comes with it: nothing is built or downloaded.
import type { Peer } from "./peer.ts"

interface Disposable {
  dispose(): Promise<void>
}
interface LlamaSequence {
  evaluate(tokens: readonly number[], options: object): AsyncIterable<number>
  clearHistory(): Promise<void>
}
interface LlamaContext extends Disposable {
  getSequence(): LlamaSequence
}
interface LlamaModel extends Disposable {
  createContext(options: object): Promise<LlamaContext>
}
interface Llama extends Disposable {
  loadModel(options: object): Promise<LlamaModel>
}
/** What is used of the package. */
interface NodeLlamaCpp {
  getLlama(options: object): Promise<Llama>
}

/** Positions that a step of a prompt reads, as llama.cpp has it. */
const batchSize = 512

export const nodeLlamaCpp: Peer = {
  name: "node-llama-cpp",
  format: "gguf",
  dtypes: ["f32", "f16", "bf16", "q8", "q4"],
  async open(modelPath, module, { threads, capacity }) {
    const { getLlama } = module as NodeLlamaCpp
    const how = { gpu: false, build: "never", skipDownload: true, progressLogs: false }
    const llama = await getLlama({ ...how, logLevel: "error", maxThreads: threads })
    const model = await llama.loadModel({ modelPath, gpuLayers: 0 })
    const context = await model.createContext({ contextSize: capacity, threads, batchSize })
    const sequence = context.getSequence()
    return {
      async generate(prompt, count) {
        const start = performance.now()
        const tokens: number[] = []
        let promptMs = 0
        for await (const id of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
          if (promptMs === 0) promptMs = performance.now() - start
          tokens.push(id)
          if (tokens.length === count) break
        }
        const totalMs = performance.now() - start
        await sequence.clearHistory()
        return { tokens, promptMs, totalMs }
      },
      async close() {
        for (const each of [context, model, llama]) await each.dispose()
      },
    }
  },
}
