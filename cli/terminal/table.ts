// Tables as wide as the terminal: the columns that matter least go first and are named below; where not
// even those that matter most fit, each row becomes a list of all its values.
import { Table } from "console-table-printer"
import { printable } from "../../model/index.ts"
import { bold, dim, inColour } from "./colour.ts"

export interface Column<Row> {
  /** With its unit. */
  readonly name: string
  /** How much it matters. 0: as long as there is a table. Of the others the highest goes first. */
  readonly rank: number
  /** Texts stand left, numbers right. */
  readonly left?: boolean
  /** Fewest columns that its texts may be folded into; without it they are not. */
  readonly least?: number
  /** What a row has there, nothing where that is undefined. */
  text(row: Row, rows: readonly Row[]): string | number | undefined
}

export interface TableOf<Row> {
  readonly title?: string
  readonly columns: readonly Column<Row>[]
  /** Whether a row stands back. */
  isDim?(row: Row): boolean
}

/** Columns of the terminal; without end where the output is a pipe or a file. */
export const screenWidth = (): number => process.stdout.columns || Number.POSITIVE_INFINITY

/** Narrower terminals than this are left to fold the lines themselves. */
const leastWidth = 20
/** Of a cell's own borders: "│ " before it and " " after it; and one more at the end. */
const borders = 3

const wide =
  /[\p{Script=Han}\p{Script=Hangul}\p{Script=Hiragana}\p{Script=Katakana}\p{Emoji_Presentation}]/u

/** Columns that a text takes on a terminal. */
export const widthOf = (text: string): number =>
  [...text].reduce((sum, c) => sum + (wide.test(c) ? 2 : /\p{Mn}/u.test(c) ? 0 : 1), 0)

/** The lines of a text, folded between words where that is possible. */
export function folded(text: string, width: number): string[] {
  return text.split("\n").flatMap((line) => {
    const [first = "", ...words] = line.split(" ").flatMap((word) => cut(word, width))
    const lines = [first]
    for (const word of words) {
      const longer = `${lines.at(-1)} ${word}`
      if (widthOf(longer) > width) lines.push(word)
      else lines[lines.length - 1] = longer
    }
    return lines
  })
}

/** A word in pieces that fit. */
function cut(word: string, width: number): string[] {
  if (widthOf(word) <= width) return [word]
  const pieces: string[] = [""]
  for (const c of word) {
    const longer = `${pieces.at(-1)}${c}`
    if (pieces.at(-1) !== "" && widthOf(longer) > width) pieces.push(c)
    else pieces[pieces.length - 1] = longer
  }
  return pieces
}

/** The table as text, no line of it wider than `width`. */
export function tableText<Row>(
  table: TableOf<Row>,
  rows: readonly Row[],
  width = screenWidth(),
): string {
  const { title, columns } = table
  const room = Math.max(leastWidth, width)
  const cells = rows.map((row) => ({
    texts: columns.map((column) => cellText(column.text(row, rows))),
    isDim: table.isDim?.(row) ?? false,
  }))
  const head = title === undefined ? [] : folded(title, room).map((line) => bold(line))
  const shown = chosen(columns, cells, room)
  const body = shown ? drawn(columns, cells, shown) : stacked(columns, cells, room)
  return [...head, ...body, ...missing(columns, shown, width)].join("\n")
}

/** A row of texts by column. */
interface Cells {
  readonly texts: readonly string[]
  readonly isDim: boolean
}

/** What is drawn of a column. */
type Heading = Omit<Column<never>, "text">

const cellText = (value: string | number | undefined): string =>
  printable(String(value ?? "")).replace(/[\t\n]/g, " ")

interface ShownColumn {
  readonly at: number
  readonly width: number
}

/** Columns that fit, and how wide they are; undefined where too few do. */
function chosen(
  columns: readonly Heading[],
  cells: readonly Cells[],
  room: number,
): ShownColumn[] | undefined {
  const ranks = [...new Set(columns.map(({ rank }) => rank))].sort((a, b) => b - a)
  for (const most of ranks) {
    const kept = columns.flatMap(({ name, rank }, at) =>
      rank > most
        ? []
        : [
            {
              at,
              width: Math.max(...[name, ...cells.map(({ texts }) => texts[at] ?? "")].map(widthOf)),
            },
          ],
    )
    const sum = kept.reduce((all, { width }) => all + width + borders, 1)
    let over = Number.isFinite(room) ? Math.max(0, sum - room) : 0
    const fitted = kept.map(({ at, width }) => {
      const { least = width, name } = columns[at] as Heading
      const given = Math.min(over, Math.max(0, width - Math.max(least, widthOf(name))))
      over -= given
      return { at, width: width - given }
    })
    if (over === 0) return fitted
  }
  return undefined
}

function drawn(
  columns: readonly Heading[],
  cells: readonly Cells[],
  shown: readonly ShownColumn[],
): string[] {
  const out = new Table({
    shouldDisableColors: !inColour,
    // Not white, which some terminals have as their ground.
    colorMap: { dim: "\x1b[2m", white: "\x1b[39m" },
    columns: shown.map(({ at, width }) => {
      const { name, left = false } = columns[at] as Heading
      return { name, alignment: left ? "left" : "right", minLen: width, maxLen: width }
    }),
  })
  for (const { texts, isDim } of cells) {
    const row = shown.map(({ at, width }) => [
      (columns[at] as Heading).name,
      folded(texts[at] as string, width).join(" "),
    ])
    out.addRow(Object.fromEntries(row), isDim ? { color: "dim" } : {})
  }
  return out.render().split("\n")
}

/** Each row as its first value and, below it, the others by name. */
function stacked(columns: readonly Heading[], cells: readonly Cells[], room: number): string[] {
  const names = columns.slice(1).map(({ name }) => name)
  const nameWidth = Math.max(...names.map(widthOf))
  const left = nameWidth + 2 * indent.length
  return cells.flatMap(({ texts: [first = "", ...rest] }) => [
    ...folded(first, room).map((line) => bold(line)),
    ...rest.flatMap((cell, i) => {
      const name = `${indent}${names[i]}`
      if (cell === "") return []
      // Beside the names, or below each where they leave too little room.
      if (room - left < leastValue) return [name, ...indented(cell, room, 2 * indent.length)]
      const [line = "", ...more] = folded(cell, room - left)
      const under = more.map((each) => `${" ".repeat(left)}${each}`)
      return [`${name.padEnd(left)}${line}`, ...under]
    }),
  ])
}

const indent = "  "
/** Columns that a value should have beside its name. */
const leastValue = 16

const indented = (text: string, room: number, by: number): string[] =>
  folded(text, room - by).map((line) => `${" ".repeat(by)}${line}`)

/** Which columns there was no room for. */
function missing(
  columns: readonly Heading[],
  shown: readonly ShownColumn[] | undefined,
  width: number,
) {
  const left = columns.filter((_, at) => shown && !shown.some((one) => one.at === at))
  if (left.length === 0) return []
  const names = left.map(({ name }) => name).join("; ")
  const text = `without ${names}: ${width} columns hold no more; --json has all`
  return folded(text, Math.max(leastWidth, width)).map((line) => dim(line))
}
