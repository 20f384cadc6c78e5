// The weights' files of a model folder: model.safetensors, or shards and the index that names them.
// Files are not trusted: index and shards must agree, and shards lie in the same folder.
import { type FileTree, readIfThere } from "../files/tree.ts"
import { isObject, parseJson, show } from "../json.ts"
import { isBuffer } from "./names.ts"
import { type SafetensorsFile, safetensorsOf } from "./safetensors.ts"

const weightsFile = "model.safetensors"
const indexFile = "model.safetensors.index.json"
/** The name that CoreNet's port to MLX writes. */
const portsFile = "weights.safetensors"
const indexLimit = 16 << 20

/** One of these makes a folder one of weights. */
export const weightsFiles: readonly string[] = [weightsFile, indexFile]

/** Opens the one file, or every shard; undefined where a folder has neither. `limit`: most bytes of a
 *  file that a server gives only as a whole. */
export async function openWeights(
  tree: FileTree,
  limit: number | undefined,
): Promise<readonly SafetensorsFile[] | undefined> {
  const single = await tree.openIfThere(weightsFile, limit)
  if (single) return [await safetensorsOf(single)]
  const bytes = await readIfThere(tree, indexFile, indexLimit)
  if (!bytes) {
    const port = await tree.openIfThere(portsFile, limit)
    return port && [await safetensorsOf(port)]
  }
  const index = tree.nameOf(indexFile)
  const shardOf = parseIndex(parseJson(bytes, index), index)
  const opened = new Map<string, SafetensorsFile>()
  try {
    for (const shard of new Set(shardOf.values())) {
      const file = await tree.openIfThere(shard, limit)
      if (!file) {
        const missing = `${index} names ${show(shard)}, which is missing. Download it`
        throw new Error(tree.remark === undefined ? missing : `${missing}. ${tree.remark}`)
      }
      opened.set(shard, await safetensorsOf(file))
    }
    checkShards(index, shardOf, opened)
  } catch (error) {
    for (const file of opened.values()) await file.close()
    throw error
  }
  return [...opened.values()]
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
