// Files that come in blocks of one size.

/** Fills `target` from `position` on; `blockAt` gives the block that begins at a multiple of `size`, the
 *  last of a file shorter. All of it lies in the file. */
export async function readByBlocks(
  position: number,
  target: Uint8Array,
  size: number,
  blockAt: (start: number) => Promise<Uint8Array>,
): Promise<void> {
  for (let done = 0; done < target.length; ) {
    const at = position + done
    const offset = at % size
    const block = await blockAt(at - offset)
    const part = block.subarray(offset, offset + target.length - done)
    target.set(part, done)
    done += part.length
  }
}
