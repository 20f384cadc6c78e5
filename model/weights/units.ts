// The weights of a model as its family puts them together, and which of them are used together.
import { constant, type Tensor } from "../../engine/index.ts"
import type { DecoderConfig, Parts } from "../architecture.ts"
import { architectureOf } from "../architectures/index.ts"
import { specsOf } from "./layout.ts"

/** Names of the weights outside of all layers, and then of each layer's. */
export function unitsOf(config: DecoderConfig): string[][] {
  const named = (names: readonly string[]) =>
    new Map(names.map((name) => [name, constant([], [0])] as const))
  const weights = named(specsOf(config).map(({ name }) => name))
  const family = architectureOf(config)
  const tables = named(Object.keys(family.tables(config)))
  const names = new Map([...weights].map(([name, tensor]) => [tensor, name]))
  const { layers } = family.assemble(config, partsOf(config, weights, tables))
  const ofLayers = layers.map((layer) =>
    Object.values(layer).flatMap(({ weight, bias }) =>
      [weight, bias].flatMap((x) => (x && names.get(x)) ?? []),
    ),
  )
  const inLayers = new Set(ofLayers.flat())
  return [[...weights.keys()].filter((name) => !inLayers.has(name)), ...ofLayers]
}

/** Matrices with their sizes, vectors and tables by name. Throws RangeError for names there are not. */
export function partsOf(
  config: DecoderConfig,
  tensors: ReadonlyMap<string, Tensor>,
  tables: ReadonlyMap<string, Tensor>,
): Parts {
  const shapes = new Map(specsOf(config).map(({ name, shape }) => [name, shape]))
  const get = (all: ReadonlyMap<string, Tensor>, name: string): Tensor => {
    const found = all.get(name)
    if (found) return found
    throw new RangeError(`${config.modelType}: no weight ${name} in its list of weights or tables`)
  }
  return {
    linear(name) {
      const weight = get(tensors, name)
      const [N, K] = shapes.get(name) as readonly [number, number]
      return { weight, inputs: K, outputs: N }
    },
    vector: (name) => get(tensors, name),
    table: (name) => get(tables, name),
  }
}
