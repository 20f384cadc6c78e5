// Runs of `elm tune` by ranks in memory, of a small model and a few records; what they said, and left.
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type Communicator, type Metrics, open, type RunOptions, tune } from "../index.ts"
import { alone } from "../train/parallel/communicator.ts"
import type { TuneFields, TuneName } from "../train/tune/index.ts"
import { at } from "./runs.ts"
import { writeSmallModel } from "./small_folder.ts"

await writeSmallModel(at(), 512)
export const backend = await open("wasm", { threads: 1 })

export const lines = (rows: readonly object[]): string =>
  rows.map((row) => JSON.stringify(row)).join("\n")
const records = Array.from({ length: 14 }, (_, i) => ({
  ...{ instruction: `Say ${i}.`, output: `It is ${"so ".repeat(i % 5)}${i}` },
}))
writeFileSync(at("alpaca.jsonl"), lines(records))
const pairs = Array.from({ length: 14 }, (_, i) => ({
  ...{ prompt: `${i}?`, chosen: `yes, ${"so ".repeat(i % 4)}${i}`, rejected: "no" },
}))
writeFileSync(at("pairs.jsonl"), lines(pairs))

export const small = {
  ...{ model: at(), rank: 2, targets: "qkv_proj,out_proj", lr: 0.01, batchSize: 4, steps: 3 },
  ...{ evalEvery: 2, saveEvery: 1, logEvery: 1, sampleEvery: 2, sampleTokens: 4, keep: 9 },
  ...{ threads: 1, validation: 0.3 },
}

/** A run of ranks, or of one process; what it said, and left. */
export async function tuned<N extends TuneName>(
  name: N,
  out: string,
  changes: TuneFields[N],
  ranks: readonly Communicator[] = [],
  more: Partial<RunOptions> = {},
) {
  const said: Metrics[] = []
  const onMetrics = (line: Metrics) => void said.push(line)
  const settings = { ...small, ...changes, out: at(out) } as TuneFields[N]
  const all = ranks.length > 0 ? ranks : [alone]
  const results = await Promise.all(
    all.map((ranks) =>
      tune(name, settings, { backend, ...more, ranks, ...(ranks.rank === 0 && { onMetrics }) }),
    ),
  )
  const [{ checkpoint, best, tokens } = { checkpoint: "", best: undefined, tokens: 0 }] = results
  const trained = changes.adapter === "none" ? "model" : "adapter_model"
  const files = [trained, "optimizer"].map((file) =>
    readFileSync(join(checkpoint as string, `${file}.safetensors`)).toString("base64"),
  )
  const timeless = { tokens_per_second: 0, mul_add_fraction: 0 }
  const lines = said.map((line) => ({ ...line, ...timeless }))
  return { files, lines, best, tokens }
}
