// Rows of GGUF's blocks into panels (file_blocks.ts). Parallel over panels: a block of a panel is
// filled output by output. Bytes: the rows once, the panels once.
import { firstRow, panelRows } from "./pack.as"
import { isBytes, numberBytes } from "./quantized_block.as"
import { loadOne } from "../shared/half.as"

/** The numbers of 32 bytes at x, those of output n of a block at w. */
// @ts-ignore: decorator
@inline
function placeBytes(x: usize, w: usize, n: usize): void {
  let to = w + 2 * n
  for (const end = x + 32; x < end; x += 2, to += 32) store<u16>(to, load<u16>(x))
}

/** The same of 16 bytes, whose upper halves are the second 16 numbers: fours beside the next fours. */
// @ts-ignore: decorator
@inline
function placeHalves(x: usize, w: usize, n: usize): void {
  const low: u32 = 0x0f0f0f0f
  let to = w + 4 * n
  for (const end = x + 16; x < end; x += 8, to += 64) {
    const a = load<u32>(x), b = load<u32>(x, 4)
    store<u32>(to, (a & low) | ((b & low) << 4))
    store<u32>(to, ((a >> 4) & low) | (b & ~low), 128)
  }
}

/** x (N, C, B) → w (P, C, Z), bad (P) */
export function panelBlocks(
  x: usize, w: usize, bad: usize,
  N: u32, C: u32, B: u32, P: u32, Z: u32, Halves: u32, begin: u32, end: u32,
): void {
  const stride = <usize>C * B
  const scales = numberBytes(Z)
  for (let p = begin; p < end; p++) {
    const rows = panelRows(p, N, Halves)
    const from = x + stride * firstRow(p, N, Halves)
    const panel = w + <usize>p * C * Z
    if (rows < 16) memory.fill(panel, 0, <usize>C * Z)
    let lost: u32 = 0
    for (let c: u32 = 0; c < C; c++) {
      const block = panel + <usize>c * Z
      for (let n: u32 = 0; n < rows; n++) {
        const at = from + stride * n + <usize>c * B
        const scale = loadOne(at, 1)
        // x − x is 0 for finite numbers and NaN for the rest.
        if (scale - scale !== 0) lost += 32
        store<f32>(block + scales + 4 * n, scale)
        if (isBytes(Z)) placeBytes(at + 2, block, n)
        else placeHalves(at + 2, block, n)
      }
    }
    store<f32>(bad + <usize>p * 4, <f32>lost)
  }
}
