// The weights' files of a model folder: model.safetensors, or shards and the index that names them.
// Files are not trusted: index and shards must agree, and shards lie in the same folder.
import { fileIn, type Reading, readIfThere } from "../files/disk.ts"
import { isObject, parseJson, show } from "../json.ts"
import { isBuffer } from "./names.ts"
import { openSafetensorsIfThere, type SafetensorsFile } from "./safetensors.ts"

const indexLimit = 16 << 20

/** Adds the one file, or every shard, to `files`, which the caller closes. */
export async function openWeights(
  folder: string,
  files: SafetensorsFile[],
  reading: Reading,
): Promise<void> {
  const single = await openSafetensorsIfThere(fileIn(folder, "model.safetensors"), reading)
  if (single) {
    files.push(single)
    return
  }
  const index = fileIn(folder, "model.safetensors.index.json")
  const bytes = await readIfThere(index, indexLimit, reading)
  if (!bytes) {
    throw new Error(
      `${folder} has neither model.safetensors nor model.safetensors.index.json. ` +
        "Download the weights, or convert them to safetensors",
    )
  }
  const shardOf = parseIndex(parseJson(bytes, index), index)
  const opened = new Map<string, SafetensorsFile>()
  for (const shard of new Set(shardOf.values())) {
    const file = await openSafetensorsIfThere(fileIn(folder, shard), reading)
    if (!file) throw new Error(`${index} names ${show(shard)}, which is missing. Download it`)
    files.push(file)
    opened.set(shard, file)
  }
  checkShards(index, shardOf, opened)
}

/** Tensor name → shard name. */
function parseIndex(json: unknown, path: string): Map<string, string> {
  const map = isObject(json) && Object.hasOwn(json, "weight_map") ? json.weight_map : undefined
  if (!isObject(map)) {
    throw new SyntaxError(
      `${path}: weight_map is ${show(map)}, expected an object. Download it again`,
    )
  }
  const shardOf = new Map<string, string>()
  for (const [name, shard] of Object.entries(map)) {
    // A plain file name: shards never lie outside of the folder.
    if (typeof shard !== "string" || !/^[\w][\w.-]*\.safetensors$/.test(shard)) {
      throw new SyntaxError(
        `${path}: weight_map gives ${show(shard)} for ${show(name)}, ` +
          "expected the name of a .safetensors file in the same folder. Do not trust this model",
      )
    }
    shardOf.set(name, shard)
  }
  return shardOf
}

/** Index and shards must agree: each tensor lies in the shard it is listed for, and only there. */
function checkShards(
  index: string,
  shardOf: ReadonlyMap<string, string>,
  opened: ReadonlyMap<string, SafetensorsFile>,
): void {
  for (const [name, shard] of shardOf) {
    if (opened.get(shard)?.tensors.has(name)) continue
    throw new RangeError(
      `${index}: ${show(name)} is not in its shard ${shard}. Download both again`,
    )
  }
  for (const [shard, { tensors }] of opened) {
    for (const name of tensors.keys()) {
      const listed = shardOf.get(name)
      if (listed === shard || (listed === undefined && isBuffer(name))) continue
      throw new RangeError(
        listed === undefined
          ? `${index} does not list ${show(name)} of ${shard}. Download both again`
          : `${index}: ${show(name)} is in two shards, ${listed} and ${shard}. Download them again`,
      )
    }
  }
}
