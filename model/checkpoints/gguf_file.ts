// GGUF files of OpenELM, as llama.cpp's converter and quantizer write them: one file, or several parts of
// one. Blocks are widened to f32 as ggml does.
import type { FileTree, OpenFile } from "../files/tree.ts"
import { show } from "../json.ts"
import { folderTokenizer } from "../tokenizer/index.ts"
import type { CheckpointFormat, OpenCheckpoint, StoredTensor } from "./checkpoint.ts"
import { beginsLikeGguf, type GgufHeader, readGguf } from "./gguf/header.ts"
import { configOf, renamed } from "./gguf/openelm.ts"
import { storedBlocks } from "./gguf/stored.ts"
import { templatesIn } from "./gguf/templates.ts"
import { tokenizerOf } from "./gguf/vocabulary.ts"

export const ggufFile: CheckpointFormat = {
  name: "GGUF",
  files: [],
  async open({ tree }) {
    const name = tree.file ?? (await fileIn(tree))
    const file = name === undefined ? undefined : await tree.openIfThere(name)
    if (!file || name === undefined) return undefined
    const parts: Part[] = []
    let found: OpenCheckpoint | undefined
    try {
      found = await openGguf(tree, name, file, parts)
    } finally {
      if (!found) for (const each of [file, ...parts.map((part) => part.file)]) await each.close()
    }
    return found
  },
}

/** An open file and its header. */
interface Part {
  readonly file: OpenFile
  readonly header: GgufHeader
}

const partName = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/

/** The only file of a folder, or the first part of the only model. */
async function fileIn(tree: FileTree): Promise<string | undefined> {
  const all = (await tree.list?.()) ?? []
  const files = all.filter((name) => name.endsWith(".gguf"))
  const firsts = files.filter((name) => Number(partName.exec(name)?.[2] ?? 1) === 1)
  if (firsts.length < 2) return firsts[0]
  throw new RangeError(
    `${tree.name} holds ${firsts.length} GGUF files, ${show(firsts)}. Give the path of one`,
  )
}

async function openGguf(
  tree: FileTree,
  name: string,
  file: OpenFile,
  parts: Part[],
): Promise<OpenCheckpoint | undefined> {
  const start = new Uint8Array(Math.min(4, file.size))
  await file.readAt(0, start)
  if (!beginsLikeGguf(start)) return undefined
  parts.push({ file, header: await readGguf(file) })
  await addParts(tree, name, parts)
  const tensors = new Map<string, StoredTensor>()
  for (const part of parts) {
    for (const tensor of part.header.tensors) {
      if (tensors.has(tensor.name)) {
        throw new RangeError(`${part.file.name} has ${show(tensor.name)}, as an earlier part has`)
      }
      tensors.set(tensor.name, storedBlocks(part.file, tensor, tensor.name))
    }
  }
  const { metadata } = (parts[0] as Part).header
  const named = renamed(tensors)
  const value = configOf(metadata, named, file.name)
  return {
    name: file.name,
    config: { value, source: file.name },
    generation: undefined,
    tensors: named,
    chatTemplates: templatesIn(metadata, file.name),
    tokenizer: async () => tokenizerOf(metadata, file.name) ?? folderTokenizer(tree),
    async close() {
      for (const part of parts) await part.file.close()
    },
  }
}

/** Opens the other parts of a model that is split, which lie beside the first. */
async function addParts(tree: FileTree, name: string, parts: Part[]): Promise<void> {
  const [{ file, header }] = parts as [Part]
  const count = header.metadata.get("split.count") ?? 1
  if (count === 1) return
  const [, stem, , of] = partName.exec(name) ?? []
  if (typeof count !== "number" || Number(of) !== count || header.metadata.get("split.no") !== 0) {
    throw new RangeError(
      `${file.name} is part ${show(Number(header.metadata.get("split.no")) + 1)} of ${show(count)}. ` +
        `Give the first, named NAME-00001-of-${String(count).padStart(5, "0")}.gguf, the others beside it`,
    )
  }
  for (let i = 1; i < count; i++) {
    const part = await tree.open(`${stem}-${String(i + 1).padStart(5, "0")}-of-${of}.gguf`)
    try {
      const found = await readGguf(part)
      const { metadata } = found
      if (metadata.get("split.no") !== i || metadata.get("split.count") !== count) {
        throw new RangeError(`${part.name} is not part ${i + 1} of ${count}. Download all again`)
      }
      parts.push({ file: part, header: found })
    } catch (error) {
      await part.close()
      throw error
    }
  }
  const total = parts.reduce((sum, part) => sum + part.header.tensors.length, 0)
  const expected = header.metadata.get("split.tensors.count") ?? total
  if (total === expected) return
  throw new RangeError(
    `${file.name} and its parts hold ${total} tensors, expected ${show(expected)}`,
  )
}
