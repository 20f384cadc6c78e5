// Weights in other formats than ours, for the fuzzer.
import { cpSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { membersOf } from "../../model/checkpoints/torch/zip.ts"
import { openOnDisk } from "../../model/files/disk.ts"
import { fixture } from "../fixtures.ts"
import { zipped } from "../torch_writer.ts"
import type { Kind } from "./kind.ts"
import { useModel } from "./model.ts"

/** A model in one file. */
const fileKind = (path: string): Kind => {
  const name = path.split("/").at(-1) as string
  return {
    name,
    files: [name],
    make: (folder) => cpSync(fixture(path), join(folder, name)),
    use: (folder) => useModel(join(folder, name)),
  }
}

/** A model in a folder, with its config.json. */
const folderKind = (path: string, weights: string): Kind => ({
  name: path.replaceAll("/", " "),
  files: ["config.json", weights],
  make: (folder) => cpSync(fixture(path), folder, { recursive: true }),
  use: useModel,
})

/** What a zip file holds, changed before it is packed: its sums are right then. */
const pickle: Kind = {
  name: "data.pkl",
  files: ["data.pkl"],
  async make(folder) {
    const file = await openOnDisk(fixture("pt/checkpoint_f32.pt"))
    for (const { name, size, read } of (await membersOf(file)).values()) {
      const bytes = new Uint8Array(size)
      await read(0, bytes)
      writeFileSync(join(folder, name.replace(/^[^/]*\//, "").replaceAll("/", "-")), bytes)
    }
    await file.close()
  },
  async use(folder) {
    const path = join(folder, "data.pkl.pt")
    const names = readdirSync(folder).filter((name) => !path.endsWith(name))
    const members = names.map((name) => {
      return [`any/${name.replaceAll("-", "/")}`, readFileSync(join(folder, name))] as const
    })
    writeFileSync(path, zipped(members))
    await useModel(path)
  },
}

const parts = [1, 2, 3].map((i) => `nano-a-split-0000${i}-of-00003.gguf`)

export const formatKinds: readonly Kind[] = [
  fileKind("pt/checkpoint_f32.pt"),
  fileKind("pt/training_checkpoint_epoch_0_iter_3.pt"),
  pickle,
  fileKind("gguf/tiny-a-q4_0.gguf"),
  fileKind("gguf/wide-a-q4_k_m.gguf"),
  {
    name: "parts of a GGUF file",
    files: parts,
    make(folder) {
      for (const part of parts) cpSync(fixture(`gguf/${part}`), join(folder, part))
    },
    use: useModel,
  },
  folderKind("mlx/corenet-q4-g64", "weights.safetensors"),
  folderKind("mlx/mlx-lm-q8-g32", "model.safetensors"),
]
