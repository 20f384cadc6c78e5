// Reads and writes safetensors files piece by piece, never a whole file in memory. Files are not
// trusted: header.ts checks what they claim. Which tensors a model needs is left to folder.ts.
import { type WritableFile, writeAtomically } from "../files/atomic.ts"
import { cannot, maxPieceBytes } from "../files/disk.ts"
import type { Waiting } from "../files/http.ts"
import { openFile } from "../files/source.ts"
import type { OpenFile } from "../files/tree.ts"
import { show } from "../json.ts"
import {
  bytesOf,
  encodeHeader,
  type FileDType,
  itemBytes,
  readHeader,
  type TensorEntry,
} from "./header.ts"

export interface SafetensorsFile {
  readonly path: string
  readonly tensors: ReadonlyMap<string, TensorEntry>
  readonly metadata: ReadonlyMap<string, string>
  /** Fills `target` from byte `start` of a tensor. Throws RangeError outside of the tensor. */
  read(name: string, start: number, target: Uint8Array): Promise<void>
  close(): Promise<void>
}

/** A tensor to write: little-endian data at once, or in pieces as they are made. */
export interface TensorData {
  readonly dtype: FileDType
  readonly shape: readonly number[]
  readonly data: ArrayBufferView | Iterable<ArrayBufferView> | AsyncIterable<ArrayBufferView>
}

/**
 * Opens a safetensors file by its path or URL and checks its whole header; data is read later, piece
 * by piece. Throws SyntaxError for a malformed file, Error for one that cannot be opened.
 */
export const openSafetensors = async (
  path: string,
  waiting: Waiting = {},
): Promise<SafetensorsFile> => safetensorsOf(await openFile(path, waiting))

/** The same of a file that is open; it is closed with it, or where it is none. */
export async function safetensorsOf(file: OpenFile): Promise<SafetensorsFile> {
  const path = file.name
  try {
    const { tensors, metadata } = await readHeader(file)
    const read = async (name: string, start: number, target: Uint8Array): Promise<void> => {
      const { offset, bytes } = entryOf(path, tensors, name)
      if (!Number.isSafeInteger(start) || start < 0 || start + target.length > bytes) {
        const asked = `asked for ${target.length} from ${show(start)}`
        throw new RangeError(`${path}: ${show(name)} has ${bytes} bytes, ${asked}`)
      }
      return file.readAt(offset + start, target)
    }
    return { path, tensors, metadata, read, close: file.close }
  } catch (error) {
    await file.close()
    throw error
  }
}

function entryOf(path: string, tensors: ReadonlyMap<string, TensorEntry>, name: string) {
  const entry = tensors.get(name)
  if (entry) return entry
  const some = show([...tensors.keys()].slice(0, 4))
  throw new RangeError(
    `${path} has no tensor ${show(name)}. It has ${tensors.size}, such as ${some}`,
  )
}

/**
 * Writes tensors to `path`, wider elements first so that every tensor is aligned. The file appears
 * under its name only when it is complete and on disk; a failure leaves what was there before.
 */
export async function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, TensorData>,
  metadata?: Readonly<Record<string, string>>,
): Promise<void> {
  const ordered = widestFirst(tensors)
  const header = encodeHeader(path, ordered, metadata)
  let isOpen = false
  const write = (file: WritableFile): Promise<void> => {
    isOpen = true
    return writeOrdered(path, file, header, ordered)
  }
  await writeAtomically(path, write).catch((error: unknown) => {
    throw isOpen ? error : cannot("write", path, error)
  })
}

/** What such a file would hold, for those who have no disk. `path`: of messages. */
export async function safetensorsBytes(
  path: string,
  tensors: ReadonlyMap<string, TensorData>,
  metadata?: Readonly<Record<string, string>>,
): Promise<Uint8Array<ArrayBuffer>> {
  const pieces: Uint8Array<ArrayBuffer>[] = []
  const write: Sink["write"] = async (bytes, offset, bytesWritten) => {
    pieces.push(bytes.slice(offset, offset + bytesWritten))
    return { bytesWritten }
  }
  const ordered = widestFirst(tensors)
  await writeOrdered(path, { write }, encodeHeader(path, ordered, metadata), ordered)
  return new Uint8Array(await new Blob(pieces).arrayBuffer())
}

type Ordered = readonly (readonly [name: string, tensor: TensorData])[]
type Sink = Pick<WritableFile, "write">

const widestFirst = (tensors: ReadonlyMap<string, TensorData>): Ordered =>
  [...tensors].sort(([, a], [, b]) => itemBytes[b.dtype] - itemBytes[a.dtype])

async function writeOrdered(path: string, file: Sink, header: Uint8Array, ordered: Ordered) {
  await writeAll(file, header)
  for (const [name, tensor] of ordered) await writeTensor(path, file, name, tensor)
}

async function writeTensor(path: string, file: Sink, name: string, tensor: TensorData) {
  const { dtype, shape, data } = tensor
  const bytes = bytesOf(dtype, shape)
  let done = 0
  for await (const piece of ArrayBuffer.isView(data) ? [data] : data) {
    done += piece.byteLength
    if (done > bytes) break
    await writeAll(file, new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength))
  }
  if (done === bytes) return
  throw new RangeError(
    `${path}: ${show(name)} is ${dtype} ${show(shape)} and takes ${bytes} bytes, got ` +
      `${done > bytes ? "more" : done}. Nothing was written`,
  )
}

/** All of some bytes at the end of a file. */
export async function writeAll(file: Sink, data: Uint8Array): Promise<void> {
  for (let done = 0; done < data.length; ) {
    const length = Math.min(data.length - done, maxPieceBytes)
    done += (await file.write(data, done, length)).bytesWritten
  }
}
