// Blocks of 32 numbers as GGUF has them, row by row, into the panels that products read: the same
// numbers, their scales widened from f16, nothing rounded. A block of a row has its scale first:
//   Q8_0, B = 34: then number k is the signed byte k
//   Q4_0, B = 18: then numbers −8 … 7, stored as 0 … 15: k in the lower half of byte k, k + 16 in its upper
// Kernels: file_blocks.as.ts.
import { decode, op } from "../../engine/index.ts"
import { panelsOf } from "./panels.ts"
import {
  blockDepth,
  blockVectors,
  eachNumber,
  fileBlockBytes,
  isBytes,
  misfit,
  placeOf,
  scalesAt,
} from "./quantized_pack.ts"

/** Bytes of a block of a row, by the format. */
export const rowBlockBytes = { q8_0: 34, q4_0: 18 } as const

interface Sizes {
  readonly N: number
  readonly C: number
  readonly B: number
  readonly P: number
  readonly Z: number
  readonly Halves: number
}

function refuse({ N, C, B, P, Z, Halves }: Sizes): string | undefined {
  const formats = Object.keys(rowBlockBytes) as (keyof typeof rowBlockBytes)[]
  if (formats.some((name) => rowBlockBytes[name] === B && fileBlockBytes[name] === Z)) {
    return misfit({ N, K: C * blockDepth, P, C, Z, Halves })
  }
  const all = formats.map((name) => `${rowBlockBytes[name]} become ${fileBlockBytes[name]}`)
  return `blocks of ${all.join(", of ")} bytes, not ${B} ${Z}`
}

/** Rows of blocks into panels. bad[p] = numbers of panel p that are not finite.
 *  x (N, C, B) → w (P, C, Z), bad (P) */
export const panelBlocks = op({
  name: "panelBlocks",
  sig: "x:u8(N,C,B) -> w:u8(P,C,Z) bad:(P)",
  params: "N C B P Z Halves",
  check: refuse,
  compute({ x, w, bad }, sizes) {
    const { C, B, Z } = sizes
    bad.fill(0)
    w.fill(0)
    eachNumber({ ...sizes, K: C * blockDepth }, (row, k, block, n) => {
      const [c, i] = [Math.floor(k / blockDepth), k % blockDepth]
      const from = (row * C + c) * B
      const { at, high } = placeOf(i, n, Z)
      const isLow = isBytes(Z) || i < 16
      const byte = x[from + 2 + (isBytes(Z) ? i : i % 16)] as number
      const number = isBytes(Z) ? byte : isLow ? byte & 15 : byte >> 4
      w[block + at] = (w[block + at] as number) | (high ? number << 4 : number)
      if (i > 0) return
      const bits = (x[from] as number) | ((x[from + 1] as number) << 8)
      const scale = decode("f16", Uint16Array.of(bits))
      new Uint8Array(Float32Array.from(scale).buffer).forEach((value, j) => {
        w[block + scalesAt(Z) + 4 * n + j] = value
      })
      const p = Math.floor(block / Z / C)
      if (!Number.isFinite(scale[0])) bad[p] = (bad[p] as number) + blockDepth
    })
  },
  vjp: () => ({}),
  gpu: [{ from: ["product/file_blocks.wgsl"], constants: blockVectors }],
  rows: ({ P }) => P,
  cost: ({ N, C, B, P, Z }) => ({ bytes: N * C * B + P * C * Z, flops: 0 }),
  cases: (["q8_0", "q4_0"] as const).flatMap((name) => {
    const [B, Z] = [rowBlockBytes[name], fileBlockBytes[name]]
    return [
      { N: 33, C: 3, B, P: panelsOf(33), Z, Halves: 1 },
      { N: 50, C: 2, B, P: panelsOf(50, 2), Z, Halves: 2 },
    ]
  }),
  // Scales of every size below 2, subnormal ones too.
  sample:
    (_name, { B }) =>
    (i) => {
      const mixed = Math.imul(i + 1, 0x9e3779b1) >>> 24
      return i % B === 1 ? mixed & 0xbf : mixed
    },
})

export const fileBlockOps = [panelBlocks.op]
