// A Parquet file that is open once, and whose footer is sound as far as counts go: a list in it has no
// more elements than bytes, so that no decoder makes billions of them.

import type { AsyncBuffer } from "hyparquet"
import { fromNode } from "../../engine/node.ts"
import { brief } from "../json.ts"
import { faultText } from "./faults.ts"
import { Thrift, type ThriftStruct, type ThriftValue } from "./thrift.ts"

interface ParquetFile extends AsyncBuffer {
  /** After what is being read. */
  close(): Promise<void>
}

/** Throws Error where it cannot be opened, SyntaxError where it has no sound footer. */
export async function openParquet(path: string): Promise<ParquetFile> {
  const { open } = fromNode("node:fs/promises")
  const file = await open(path, "r").catch((error: Error) => {
    throw new Error(`Cannot read ${path}: ${faultText(error)}`)
  })
  try {
    const { size } = await file.stat()
    const pending = new Set<Promise<ArrayBuffer>>()
    const read = async (start: number, end: number): Promise<ArrayBuffer> => {
      const bytes = new Uint8Array(Math.max(0, Math.min(end, size) - start))
      for (let done = 0; done < bytes.length; ) {
        const { bytesRead } = await file.read(bytes, done, bytes.length - done, start + done)
        if (bytesRead === 0) throw new Error(`${path} ended early: it changed while open`)
        done += bytesRead
      }
      return bytes.buffer
    }
    const slice = (start: number, end = size): Promise<ArrayBuffer> => {
      const bytes = read(start < 0 ? Math.max(0, size + start) : start, end < 0 ? size + end : end)
      pending.add(bytes)
      // A decoder that has failed does not wait for what else it asked for.
      bytes.then(
        () => pending.delete(bytes),
        () => pending.delete(bytes),
      )
      return bytes
    }
    const close = async (): Promise<void> => {
      await Promise.allSettled(pending)
      await file.close()
    }
    const opened = { byteLength: size, slice, close }
    await checkFooter(path, opened)
    return opened
  } catch (error) {
    await file.close()
    throw error
  }
}

/** Why a file could not be decoded. What it says of itself may be damaged too: then a decoder's message
 *  says nothing. */
export const parquetFault = (error: Error): string =>
  error instanceof TypeError || error instanceof RangeError || /undefined/.test(error.message)
    ? "it is damaged: its parts do not fit together"
    : brief(error.message)

const magic = "PAR1"

async function checkFooter(path: string, file: AsyncBuffer): Promise<void> {
  const { byteLength: size } = file
  const fail = (reason: string): never => {
    throw new SyntaxError(`Cannot read ${path}: ${reason}`)
  }
  if (size < 12) fail(`it has ${size} bytes, too few for Parquet`)
  const end = await file.slice(size - 8)
  if (new TextDecoder("latin1").decode(end.slice(4)) !== magic)
    fail("it does not end as Parquet does")
  const length = new DataView(end).getUint32(0, true)
  if (length > size - 12) fail(`its footer would have ${length} of its ${size} bytes`)
  const footer = await file.slice(size - 8 - length, size - 8)
  try {
    checkSchema(new Thrift(footer).struct().get(2))
  } catch {
    fail("its footer is damaged")
  }
}

/** Throws SyntaxError for elements of a schema that are no tree: each is followed by its children. */
function checkSchema(elements: ThriftValue | undefined): void {
  if (!Array.isArray(elements)) throw new SyntaxError("there is no schema")
  /** How many children are still to come, of each element that the next one lies in. */
  const open: number[] = [1]
  for (const element of elements as readonly ThriftStruct[]) {
    while (open.at(-1) === 0) open.pop()
    const parent = open.length - 1
    const children = element.get(5) ?? 0
    const isCount = Number.isInteger(children) && (children as number) >= 0
    if (parent < 0 || open.length > 64 || !isCount) throw new SyntaxError("its schema is no tree")
    open[parent] = (open[parent] as number) - 1
    open.push(children as number)
  }
  if (open.some((left) => left !== 0)) throw new SyntaxError("its schema ends early")
}
