// Files that torch.save wrote, CoreNet's above all: weights, averages of them, or a whole training state,
// of which the weights are read. Nothing in them is run (torch/pickle.ts). Their config is the config.json
// beside them, or what the sizes of the tensors say.
import type { FileTree, OpenFile } from "../files/tree.ts"
import { generationFile } from "../generate/generation.ts"
import { show } from "../json.ts"
import { folderTokenizer } from "../tokenizer/index.ts"
import type { Candidate, CheckpointFormat, OpenCheckpoint, StoredTensor } from "./checkpoint.ts"
import { configOfShapes } from "./shapes.ts"
import { openArchive } from "./torch/archive.ts"
import { beginsLikePickle, openLegacy } from "./torch/legacy.ts"
import type { Value } from "./torch/pickle.ts"
import { storedView } from "./torch/stored.ts"
import { named, View } from "./torch/tensors.ts"
import { beginsLikeZip } from "./torch/zip.ts"

/** Names of CoreNet's and others, the first that is there. */
const usualFiles = [
  "pytorch_model.bin",
  "checkpoint_average.pt",
  "checkpoint_last.pt",
  "training_checkpoint_last.pt",
]

/** Where a training state keeps its weights. */
const stateKeys = ["model_state_dict", "state_dict", "model", "module"]

export const torchFile: CheckpointFormat = {
  name: "a file of torch.save",
  files: [],
  async open(candidate) {
    const name = candidate.tree.file ?? (await fileIn(candidate.tree))
    const file = name === undefined ? undefined : await candidate.tree.openIfThere(name)
    if (!file) return undefined
    let found: OpenCheckpoint | undefined
    try {
      found = await openTorch(file, candidate)
    } finally {
      if (!found) await file.close()
    }
    return found
  },
}

/** The file of a folder: one of the usual names, or the only one of its kind. */
async function fileIn(tree: FileTree): Promise<string | undefined> {
  for (const name of usualFiles) if (await tree.has(name)) return name
  const all = (await tree.list?.()) ?? []
  const files = all.filter((name) => /\.(pt|pth|ckpt)$/.test(name))
  if (files.length < 2) return files[0]
  throw new RangeError(
    `${tree.name} holds ${files.length} files of weights, ${show(files)}. Give the path of one`,
  )
}

async function openTorch(
  file: OpenFile,
  candidate: Candidate,
): Promise<OpenCheckpoint | undefined> {
  const tensors = await openTorchTensors(file)
  if (!tensors) return undefined
  return {
    name: file.name,
    config: (await candidate.json("config.json")) ?? configOfShapes(tensors, file.name),
    generation: await candidate.json(generationFile),
    tensors,
    tokenizer: () => folderTokenizer(candidate.tree),
    close: file.close,
  }
}

/** The tensors of a file of torch.save; undefined for other files. */
export async function openTorchTensors(
  file: OpenFile,
): Promise<Map<string, StoredTensor> | undefined> {
  const start = new Uint8Array(Math.min(4, file.size))
  if (start.length < 4) return undefined
  await file.readAt(0, start)
  const isZip = beginsLikeZip(start)
  if (!isZip && !beginsLikePickle(start)) return undefined
  const torch = await (isZip ? openArchive(file) : openLegacy(file))
  const tensors = new Map<string, StoredTensor>()
  for (const [name, view] of named(weightsIn(torch.value, file.name), file.name)) {
    tensors.set(name, storedView(name, file.name, view, torch))
  }
  return tensors
}

/** The dict of weights: the value itself, or that of a training state. */
function weightsIn(value: Value, source: string): Value {
  if (value instanceof Map) {
    if ([...value.values()].some((each) => each instanceof View)) return value
    for (const key of stateKeys) {
      const state = value.get(key)
      if (state instanceof Map) return state
    }
  }
  const keys = value instanceof Map ? [...value.keys()].map(String) : []
  throw new RangeError(
    `${source} holds ${show(keys)}, expected tensors, or one of ${stateKeys.join(", ")}. ` +
      "Give a file with the weights of a model",
  )
}
