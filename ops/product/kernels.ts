// Which kernels of a GPU serve products with weights in panels: by the number of rows, the format of
// the weights, what comes before (a norm) and what comes after (an add, an activation). Named
// parameters as in matmul.ts: M rows, P panels, of gates only where values follow them.
import {
  type DType,
  dtypeCode,
  type KernelCondition,
  type KernelVariant,
} from "../../engine/index.ts"
import { panelWidth } from "./panels.ts"
import { blockVectors } from "./quantized_pack.ts"

interface Form {
  /** The op, whose name those of its entry points begin with. */
  readonly op: string
  /** Whether a norm comes before the product. */
  readonly isNormed?: boolean
  /** Whether panels are gates and values in turns, one to be multiplied by the other. */
  readonly isGated?: boolean
}

interface Rows {
  readonly M: number
  readonly P: number
}
type Float = Rows & { readonly K: number; readonly wType: number }
type Blocks = Rows & { readonly K: number; readonly Z: number }
type Variant<P> = KernelVariant<"w" | "x", P>

const { ceil } = Math
/** Most rows that matmul_row.wgsl serves. */
const fewRows = 8
const manyRows: KernelCondition<{ M: number }> = {
  text: `M > ${fewRows}`,
  holds: ({ M }) => M > fewRows,
}

const norm = ({ isNormed }: Form): readonly string[] =>
  isNormed ? ["product/matmul_norm.wgsl"] : []
const rowFiles = ["product/matmul_row.wgsl", "product/matmul_row_subgroups.wgsl"]
export const tileFile = "product/matmul_tile.wgsl"

/** Rows and panels of a workgroup of matmul_row.wgsl. */
function rowSizes({ isGated }: Form, { M, P }: Rows) {
  const rows = ceil(M / ceil(M / 4))
  return { gated: Number(isGated ?? false), rows, panels: isGated || (P >= 512 && M <= 2) ? 2 : 1 }
}

/** Lanes of its workgroup: many where panels are few. */
function lanesOf({ rows, panels }: ReturnType<typeof rowSizes>, { P }: Rows): number {
  if (P >= 512 || rows * panels > 4) return 64
  return rows * panels > 1 ? 128 : 256
}

const rowGroups =
  (form: Form) =>
  (sizes: Rows): number => {
    const { rows, panels } = rowSizes(form, sizes)
    return ceil(((form.isGated ? 2 : 1) * sizes.P) / panels) * ceil(sizes.M / rows)
  }

/** Rows, and fours of outputs, of a lane of matmul_tile.wgsl, and how much of K a tile has. */
export function tileSizes(
  tall: number,
  isGated = false,
  quads = isGated ? 2 : tall / 4,
  depth = 16 / quads,
) {
  return { gated: Number(isGated), tall, quads, depth }
}

/** Workgroups for `rows` by `panels`. */
export const tileGroups = ({ tall, quads }: Tile, rows: number, panels: number): number =>
  ceil(panels / quads / 4) * ceil(rows / tall / 16)

type Tile = Pick<ReturnType<typeof tileSizes>, "tall" | "quads">

/** Taller tiles where there are many. */
export const tallFor = (items: number, least: number): number => (items >= least ? 8 : 4)

const productTile = ({ isGated }: Form, { M, P }: Rows) =>
  tileSizes(tallFor(M * P, 131072), isGated)

const productGroups =
  (form: Form) =>
  (sizes: Rows): number =>
    tileGroups(productTile(form, sizes), sizes.M, (form.isGated ? 2 : 1) * sizes.P)

/** Workgroups that a large GPU has room for at a time. */
const manyGroups = 264

/** Of matmul_matrix.wgsl: tiles of 16 rows and panels of a workgroup, and how many slices K is in: more
 *  where tiles are few. */
function matrixSizes({ isGated }: Form, { M, P }: Rows) {
  const [least, all] = isGated ? [2, 2 * P] : [1, P]
  const rowTiles = Math.min(4, ceil(M / 16))
  let across = 8
  const groupsOf = (across: number) => ceil(M / 16 / rowTiles) * ceil(all / across)
  while (across > least && groupsOf(across) < manyGroups) across /= 2
  const slices = 8 / across
  const storage = 1024 * slices * rowTiles + 4096 + 8192 + 256
  return { rowTiles, across, slices, storage, groups: groupsOf(across) }
}

/** Kernels for weights in f32, f16 and bf16. */
export function floatKernels(form: Form): readonly Variant<Float>[] {
  const isOf = (wType: number, ...names: DType[]) => names.map(dtypeCode).includes(wType)
  return [
    {
      entry: `${form.op}Matrix`,
      from: [...norm(form), "product/matmul_matrix.wgsl"],
      when: {
        text: `${manyRows.text}, w f16 or bf16`,
        holds: ({ M, wType }) => manyRows.holds({ M }) && isOf(wType, "f16", "bf16"),
      },
      needs: ["shader-f16", "subgroups", "subgroup-matrix"],
      constants: (sizes) => {
        const { rowTiles, across, slices } = matrixSizes(form, sizes)
        return { rowTiles, across, slices, raised: isOf(sizes.wType, "f16") ? 1 : 256 }
      },
      storage: (sizes) => matrixSizes(form, sizes).storage,
      groups: (sizes) => matrixSizes(form, sizes).groups,
      wide: ["w"],
      fours: ["x"],
      foursWhen: ({ K }) => K % 4 === 0,
    },
    {
      entry: `${form.op}Halves`,
      from: ["product/matmul_half.wgsl", ...norm(form), tileFile],
      when: {
        text: `${manyRows.text}, w f16`,
        holds: ({ M, wType }) => manyRows.holds({ M }) && isOf(wType, "f16"),
      },
      needs: ["shader-f16"],
      constants: (sizes) => productTile(form, sizes),
      groups: productGroups(form),
    },
    {
      entry: `${form.op}Tile`,
      from: [...norm(form), tileFile],
      when: manyRows,
      constants: (sizes) => productTile(form, sizes),
      groups: productGroups(form),
    },
    {
      from: ["product/matmul.wgsl", ...norm(form), ...rowFiles],
      constants: (sizes) => {
        const own = rowSizes(form, sizes)
        return { ...own, width: lanesOf(own, sizes) }
      },
      groups: rowGroups(form),
      wide: ["w"],
    },
  ]
}

/** Kernels for weights in blocks of whole numbers (quantized_pack.ts). */
export function quantizedKernels(form: Form): readonly Variant<Blocks>[] {
  const ofRows = (sizes: Blocks) => ({
    width: sizes.P < 512 ? 128 : 64,
    ...rowSizes(form, sizes),
    ...blockVectors(sizes),
  })
  const row = ["product/quantized_row.wgsl", ...norm(form), ...rowFiles]
  return [
    {
      entry: `${form.op}DotTile`,
      from: [
        ...["product/quantized.wgsl", ...norm(form), "product/quantized_dot_tile.wgsl", tileFile],
        // For scales, and for how rows are rounded.
        ...["product/quantized_tile.wgsl", "product/quantized_dot.wgsl"],
      ],
      when: manyRows,
      needs: ["packed-dot"],
      constants: (sizes) => ({ ...productTile(form, sizes), ...blockVectors(sizes) }),
      groups: productGroups(form),
      wide: ["w"],
      fours: ["x"],
      foursWhen: ({ K }) => K % 4 === 0,
    },
    {
      entry: `${form.op}Dot`,
      from: ["product/quantized.wgsl", "product/quantized_dot.wgsl", ...row],
      needs: ["packed-dot"],
      constants: (sizes) => {
        const own = ofRows(sizes)
        // Of several sums workgroup memory holds those of few lanes.
        return { ...own, width: own.rows * own.panels > 4 ? 64 : own.width }
      },
      groups: rowGroups(form),
      wide: ["w"],
    },
    {
      entry: `${form.op}Tile`,
      from: [
        ...["product/quantized.wgsl", "product/quantized_tile.wgsl", ...norm(form), tileFile],
        // For the places of numbers in a block.
        "product/quantized_row.wgsl",
      ],
      when: manyRows,
      constants: (sizes) => ({ ...productTile(form, sizes), ...blockVectors(sizes) }),
      groups: productGroups(form),
      wide: ["w"],
    },
    {
      from: ["product/quantized.wgsl", ...row],
      constants: ofRows,
      groups: rowGroups(form),
      wide: ["w"],
    },
  ]
}

/** Those of them that round no rows. */
export const exactKernels = (form: Form): readonly Variant<Blocks>[] =>
  quantizedKernels(form).filter(({ needs }) => !needs?.includes("packed-dot"))

type Columns = { readonly M: number; readonly K: number }
const tileX = ({ M, K }: Columns) => tileSizes(tallFor(M * K, 2097152))

/** The kernel of the gradient of a product's rows. */
export const gradXKernel = {
  from: ["product/matmul_grad_x.wgsl", "product/matmul_tile.wgsl"],
  constants: (sizes: Columns) => tileX(sizes),
  groups: (sizes: Columns) => tileGroups(tileX(sizes), sizes.M, sizes.K / panelWidth),
} as const
