// Every kind of file that the package reads: a folder in which one is whole, and what reads and uses it.
import { execFileSync } from "node:child_process"
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { createTrainStep, OpenELM } from "../../index.ts"
import { readYaml } from "../../model/files/yaml.ts"
import { writeSafetensors } from "../../model/index.ts"
import { restoreStep, writeCheckpoint } from "../../train/run/checkpoint.ts"
import { RunFolder } from "../../train/run/folder.ts"
import { readMetrics } from "../../train/run/log.ts"
import { checkSettings, fieldsOfFile } from "../../train/run/settings.ts"
import { inFile } from "../../train/spelling.ts"
import { goldenFolder } from "../fixtures.ts"
import { dataKinds } from "./data.ts"
import { formatKinds } from "./formats.ts"
import { clean, type Kind, root } from "./kind.ts"
import { backend, useModel } from "./model.ts"
import { textKinds } from "./text.ts"

const elm = join(root, "dist/elm.js")

function copyGolden(folder: string): void {
  const golden = goldenFolder()
  cpSync(golden.path, folder, { recursive: true })
  golden.remove()
}

/** The golden weights in two files and their index. */
async function makeShards(folder: string): Promise<void> {
  copyGolden(folder)
  const { openSafetensors } = await import("../../model/index.ts")
  const file = await openSafetensors(join(folder, "model.safetensors"))
  const names = [...file.tensors.keys()]
  const map: Record<string, string> = {}
  for (const [n, half] of [names.slice(0, 9), names.slice(9)].entries()) {
    const shard = `model-${n + 1}.safetensors`
    const tensors = await Promise.all(
      half.map(async (name) => {
        map[name] = shard
        const { dtype, shape, bytes } = file.tensors.get(name) as NonNullable<
          ReturnType<typeof file.tensors.get>
        >
        const data = new Uint8Array(bytes)
        await file.read(name, 0, data)
        return [name, { dtype, shape, data }] as const
      }),
    )
    await writeSafetensors(join(folder, shard), new Map(tensors))
  }
  await file.close()
  execFileSync("rm", [join(folder, "model.safetensors")])
  const index = { metadata: { total_size: 1 }, weight_map: map }
  writeFileSync(join(folder, "model.safetensors.index.json"), JSON.stringify(index))
}

const model: Kind = {
  name: "model",
  files: ["config.json", "model.safetensors"],
  make: copyGolden,
  use: useModel,
}

const shards: Kind = {
  name: "shards",
  files: ["model.safetensors.index.json", "model-1.safetensors", "model-2.safetensors"],
  make: makeShards,
  use: useModel,
}

const quantized: Kind = {
  name: "quantized",
  files: ["config.json", "model.safetensors"],
  make(folder) {
    const golden = goldenFolder()
    execFileSync(process.execPath, [elm, "quantize", golden.path, folder, "--dtype", "q8"], {
      env: clean,
    })
    golden.remove()
  },
  use: useModel,
}

const generation: Kind = {
  name: "generation_config",
  files: ["generation_config.json"],
  make(folder) {
    copyGolden(folder)
    const fields = { do_sample: true, temperature: 0.7, top_k: 5, top_p: 0.9, eos_token_id: [2, 5] }
    writeFileSync(join(folder, "generation_config.json"), JSON.stringify(fields, null, 1))
  },
  use: useModel,
}

// ---- Runs -----------------------------------------------------------------------------------------

const checkpoint: Kind = {
  name: "checkpoint",
  files: ["state.json", "optimizer.safetensors"],
  async make(folder) {
    const golden = goldenFolder()
    const model = await OpenELM.load(golden.path, { backend })
    golden.remove()
    const step = await createTrainStep(model, {})
    await step([[1, 2, 3]], [[2, 3, 4]], { lr: 1e-3 })
    const run = await RunFolder.open(join(folder, "run"))
    const data = { version: 1, settings: "", turn: 0, taken: 0, places: [null] }
    const settings = checkSettings({ model: "270M" }, "settings")
    const state = { tokens: 3, settings, data }
    const path = await writeCheckpoint(run, step.state, state, { keep: 1 })
    await run.close()
    await step.close()
    await model.close()
    cpSync(path, folder, { recursive: true })
  },
  async use(folder) {
    const model = await OpenELM.load(folder, { backend })
    const step = await createTrainStep(model, {})
    try {
      await restoreStep(folder, step.state)
    } finally {
      await step.close()
      await model.close()
    }
  },
}

const lock: Kind = {
  name: "lock",
  files: [".elm-run/lock.json"],
  make(folder) {
    mkdirSync(join(folder, ".elm-run"))
    const owner = { openelm: "lock of a training run", id: "0123456789abcdef", pid: 2 ** 22 + 1 }
    const more = { host: "elsewhere", started: "never", since: "2026-01-01T00:00:00.000Z" }
    writeFileSync(join(folder, ".elm-run/lock.json"), JSON.stringify({ ...owner, ...more }))
  },
  use: async (folder) => (await RunFolder.open(folder)).close(),
}

const metrics: Kind = {
  name: "metrics",
  files: ["metrics.jsonl"],
  make(folder) {
    const lines = [1, 2, 3].map((step) => JSON.stringify({ step, loss: 3.5, lr: 1e-3 }))
    writeFileSync(join(folder, "metrics.jsonl"), `${lines.join("\n")}\n`)
  },
  use: (folder) => void readMetrics(join(folder, "metrics.jsonl")),
}

const settings: Kind = {
  name: "settings",
  files: ["run.yaml"],
  make(folder) {
    const text = readFileSync(join(root, "train/configs/austen.yaml"))
    writeFileSync(join(folder, "run.yaml"), text)
  },
  async use(folder) {
    const path = join(folder, "run.yaml")
    checkSettings(fieldsOfFile(await readYaml(path), path), path, inFile)
  },
}

export const kinds: readonly Kind[] = [
  model,
  shards,
  quantized,
  generation,
  checkpoint,
  lock,
  metrics,
  settings,
  ...textKinds,
  ...formatKinds,
  ...dataKinds,
]

/** Files of a folder and of those in it. */
export const filesIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: "utf8" }).sort()
