// Keys and values in 8 bits: how a cache keeps them in a quarter of the memory of f32. A row, E numbers
// of one head at one position, is E signed bytes and then its scale in f32, E + 4 bytes together; what it
// stands for is byte · scale. E is a multiple of 4. Kernels: q8_rows.as.ts.
import { op, roundEven } from "../../engine/index.ts"

/** Bytes of a row of E numbers. */
export const q8RowBytes = (E: number): number => E + scaleBytes

const scaleBytes = 4
const largest = 127
/** The least scale: what is below it a GPU may take for 0. */
const leastScale = 2 ** -126
/** What a workgroup holds of a row, and a thread of several. */
const mostE = 1024

/** What is wrong with the size of heads, if anything. */
export const q8Refusal = ({ E }: { readonly E: number }): string | undefined =>
  E % 4 === 0 && E <= mostE
    ? undefined
    : `a q8 cache needs heads of a multiple of 4 up to ${mostE} numbers, E is ${E}`

/** The farthest number becomes ±127, the others the nearest whole numbers, ties to even; with a scale
 *  too small for f32, zeros. NaN and infinities give NaN. */
function writeRow(x: Float64Array, from: number, E: number, y: Float64Array, at: number): void {
  let most = 0
  for (let e = 0; e < E; e++) most = Math.max(most, Math.abs(x[from + e] as number))
  const found = Math.fround(most / largest)
  const scale = found < leastScale ? 0 : found
  for (let e = 0; e < E; e++) {
    const number = scale === 0 ? 0 : roundEven(Math.fround((x[from + e] as number) / scale))
    y[at + e] = number & 255
  }
  new Uint8Array(Float32Array.of(scale).buffer).forEach((byte, i) => {
    y[at + E + i] = byte
  })
}

/** The numbers of rows as a cache has them.  bytes (rows, E+4) → (rows, E) */
export function q8Numbers(bytes: ArrayLike<number>, E: number): Float64Array {
  const rows = bytes.length / q8RowBytes(E)
  const word = new Uint8Array(scaleBytes)
  const numbers = new Float64Array(rows * E)
  for (let row = 0; row < rows; row++) {
    const at = row * q8RowBytes(E)
    for (let i = 0; i < scaleBytes; i++) word[i] = bytes[at + E + i] as number
    const [scale = 0] = new Float32Array(word.buffer)
    for (let e = 0; e < E; e++) {
      numbers[row * E + e] = (((bytes[at + e] as number) << 24) >> 24) * scale
    }
  }
  return numbers
}

/** A q8 cache with rows position … position + T − 1 replaced, in its own memory where the old value is
 *  not needed.  cache (B, G, S, E+4), rows (B, G, T, E), position (B) → y (B, G, S, E+4) */
export const writeRowsQ8 = op({
  name: "writeRowsQ8",
  sig: "cache:u8(B,G,S,E+4) rows:(B,G,T,E) position:i32(B) -> y:u8(B,G,S,E+4)",
  params: "B G S E T",
  alias: { y: "cache" },
  check: q8Refusal,
  compute({ cache, rows, position, y }, { B, G, S, E, T }) {
    if (y !== cache) y.set(cache.subarray(0, y.length))
    for (let bg = 0; bg < B * G; bg++) {
      const at = bg * S + (position[Math.floor(bg / G)] as number)
      for (let t = 0; t < T; t++) writeRow(rows, (bg * T + t) * E, E, y, (at + t) * q8RowBytes(E))
    }
  },
  vjp: () => ({}),
  gpu: [{ from: ["attention/q8_rows.wgsl"] }],
  rows: ({ B, G, T }) => B * G * T,
  cost: ({ B, G, T, E }) => ({ bytes: B * G * T * (5 * E + 4), flops: 2 * B * G * T * E }),
  cases: [
    { B: 2, G: 3, S: 9, E: 8, T: 2 },
    { B: 1, G: 1, S: 33, E: 64, T: 1 },
    { B: 1, G: 2, S: 9, E: 300, T: 3 },
  ],
  sample: (name, { S, T }) => {
    if (name === "position") return (i) => Math.min(3 + i, S - T)
    return name === "cache" ? sampleByte : undefined
  },
})

/** The numbers that a q8 cache stands for.  cache (B, G, S, E+4) → y (B, G, S, E) */
export const readRowsQ8 = op({
  name: "readRowsQ8",
  sig: "cache:u8(B,G,S,E+4) -> y:(B,G,S,E)",
  params: "B G S E",
  check: q8Refusal,
  compute({ cache, y }, { E }) {
    y.set(q8Numbers(cache, E).subarray(0, y.length))
  },
  vjp: () => ({}),
  gpu: [{ from: ["attention/q8_rows.wgsl"] }],
  rows: ({ B, G, S }) => B * G * S,
  cost: ({ B, G, S, E }) => ({ bytes: B * G * S * (5 * E + 4), flops: B * G * S * E }),
  cases: [
    { B: 2, G: 3, S: 9, E: 8 },
    { B: 1, G: 2, S: 5, E: 300 },
  ],
  sample: (_name, sizes) => sampleRows(sizes),
})

const sampleByte = (i: number): number => Math.imul(i + 1, 0x9e3779b1) >>> 24

/** Bytes of rows with scales of a few hundredths, for cases. */
export const sampleRows =
  ({ E }: { readonly E: number }) =>
  (i: number): number => {
    const column = i % q8RowBytes(E)
    return column === E + 3 ? 0x3c : sampleByte(i)
  }

export const q8RowOps = [writeRowsQ8.op, readRowsQ8.op]
