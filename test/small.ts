// A small model with awkward sizes, and how the tests use one.
import { type GenerateOptions, type OpenBackend, OpenELM, open, scaledConfig } from "../index.ts"

export const config = scaledConfig({
  name: "small",
  layers: 3,
  modelDim: 64,
  headDim: 16,
  vocabSize: 101,
  ffnDivisor: 24,
  maxContext: 1200,
  queryHeadsPerKeyHead: 2,
})

export const prompt = [1, 17, 33]

/** All tokens of a generation. */
export async function collect(
  model: OpenELM,
  ids: string | readonly number[],
  options: GenerateOptions,
): Promise<number[]> {
  const tokens: number[] = []
  for await (const { id } of model.generate(ids, { stop: [], ...options })) tokens.push(id)
  return tokens
}

/** Runs with the small model on wasm, and closes both. */
export async function withModel(
  run: (model: OpenELM, backend: OpenBackend) => Promise<void>,
): Promise<void> {
  await using backend = await open("wasm", { threads: 2 })
  await using model = await OpenELM.random(config, { backend, seed: 1 })
  await run(model, backend)
}
