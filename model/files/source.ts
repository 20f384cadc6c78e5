// Where files are taken from, as a user says it: a path, an http or https URL, a repository of the hub, or
// what a page was given.
import { kindOf } from "../../engine/index.ts"
import { fromNode } from "../../engine/node.ts"
import { show } from "../json.ts"
import { diskTree, isFileOnDisk, openOnDisk } from "./disk.ts"
import type { Waiting } from "./http.ts"
import { httpTree, isRemote } from "./http_tree.ts"
import { type HubName, hubNameOf, isHubText } from "./hub/name.ts"
import { hubTree } from "./hub/tree.ts"
import { chosenFiles, filesTree, folderTree, isFolder } from "./page.ts"
import { openRequired } from "./remote.ts"
import type { FileTree, OpenFile } from "./tree.ts"

/** A path or URL, of a folder or of a single file; a repository of the hub (ORG/NAME, ORG/NAME@REVISION,
 *  hf:ORG/NAME/FILE), where no path is of that name; or, in a page, files that were chosen there, or
 *  a folder that it was given. */
export type FileSource = string | URL | ArrayLike<File> | FileSystemDirectoryHandle

export const isSource = (x: unknown): x is FileSource =>
  typeof x === "string" || x instanceof URL || chosenFiles(x) !== undefined || isFolder(x)

/** The files of a source; reading them ends with the signal, or when a server is silent for too long.
 *  Throws TypeError that begins with `name` for what is none. */
export function treeOf(source: FileSource, waiting: Waiting = {}, name = "the source"): FileTree {
  const files = chosenFiles(source)
  if (files) return filesTree(files, waiting)
  if (isFolder(source)) return folderTree(source, waiting)
  if (typeof source !== "string" && !(source instanceof URL)) {
    const expected = "a path, a URL, files of a page or a folder of one"
    throw new TypeError(`${name} must be ${expected}, got ${kindOf(source)}`)
  }
  const path = pathOf(source)
  if (path === "") throw new RangeError(`${name} is empty. Give a path or a URL`)
  if (isRemote(path)) {
    if (!URL.canParse(path)) throw new TypeError(`${show(path)} is not the URL of a folder`)
    return httpTree(path, looksLikeFile(new URL(path).pathname), waiting)
  }
  const hub = hubMeant(path)
  if (hub) return hubTree(hub, waiting)
  return diskTree(path, isFileOnDisk(path) ?? looksLikeFile(path), waiting)
}

/** The repository of the hub that a text means; undefined where it means a path. */
function hubMeant(text: string): HubName | undefined {
  if (isHubText(text)) return hubNameOf(text)
  const hub = isFileOnDisk(text) === undefined ? hubNameOf(text) : undefined
  return hub && !leadsNowhere(text) ? hub : undefined
}

/** Whether a text means a path, and neither a URL nor a repository of the hub. Throws RangeError for what
 *  says that it is one of these and is not. */
export const meansPath = (text: string): boolean => !isRemote(text) && !hubMeant(text)

/** Whether what is not there was meant as a path all the same: of a file, or in something that is there. */
const leadsNowhere = (path: string): boolean =>
  looksLikeFile(path) || isFileOnDisk(path.split("/")[0] as string) !== undefined

/** Opens a single file by its path or URL; `limit` as FileTree has it. Throws Error that names it where
 *  that fails. */
export const openFile = (
  path: string,
  reading: Waiting & { readonly limit?: number } = {},
): Promise<OpenFile> => (isRemote(path) ? openRequired(path, reading) : openOnDisk(path, reading))

/** Endings of files that stand for themselves. What is not there to be looked at is a folder otherwise,
 *  since folders' names have dots too: OpenELM-1.1B. */
const looksLikeFile = (path: string): boolean =>
  /\.(json|model|safetensors|gguf|pt|pth|ckpt|bin)$/.test(path)

/** What is given as path or URL, as a path. */
export function pathOf(given: string | URL): string {
  const url = String(given)
  return /^file:\/\//i.test(url) ? fromNode("node:url").fileURLToPath(url) : url
}

/** The path of a folder that is to be written. Throws TypeError for what is no path or URL, RangeError
 *  for what no disk holds. */
export function pathToWrite(given: string | URL, name: string): string {
  if (typeof given !== "string" && !(given instanceof URL)) {
    throw new TypeError(`${name} must be a path or a URL, got ${kindOf(given)}`)
  }
  const path = pathOf(given)
  if (path === "") throw new RangeError(`${name} is empty. Give the path of a folder`)
  // Not C:\, which is a disk.
  if (!/^(https?:|[a-z][a-z\d+.-]+:\/\/)/i.test(path)) return path
  throw new RangeError(
    `${name} is ${show(path)}, to which nothing can be written. Give a path or a file: URL`,
  )
}
