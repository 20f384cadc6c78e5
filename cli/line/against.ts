// `elm bench --against`: other programs on the same model, in turns, as a table.
import { fileURLToPath } from "node:url"
import { machine as thisMachine } from "../../bench/measure/machine.ts"
import {
  type AgainstOptions,
  type AgainstRow,
  benchAgainst,
  installed,
  peers,
} from "../../bench/peers/against.ts"
import { spreadText } from "../terminal/amounts.ts"
import { measured } from "../terminal/output.ts"
import { type TableOf, tableText } from "../terminal/table.ts"
import { chosenOf } from "./arguments.ts"
import { type Flag, valued } from "./flags.ts"
import { openFor } from "./open.ts"

const names = peers.map(({ name }) => name)

export const against: Flag<readonly string[] | undefined> = {
  ...valued<readonly string[]>(
    "<packages>",
    "other programs, if installed, on the same model and work, in turns",
    (text) => chosenOf(text, names, (name) => name),
  ),
  choices: names,
}

const ratioText = ({ program }: AgainstRow, ratio: number): string | undefined =>
  program === "openelm" ? undefined : ratio.toFixed(2)

export const againstTable: TableOf<AgainstRow> = {
  title: "×: this engine's rate over the other's, medians over the turns",
  columns: [
    {
      name: "program",
      rank: 0,
      left: true,
      least: 16,
      text: ({ program, version }) => `${program} ${version}`.trim(),
    },
    { name: "model", rank: 3, left: true, least: 12, text: (row) => `${row.model} ${row.dtype}` },
    { name: "prompt tok/s", rank: 2, text: (row) => spreadText(row.promptSpread) },
    { name: "× prompt", rank: 1, text: (row) => ratioText(row, row.promptRatio) },
    { name: "generation tok/s", rank: 1, text: (row) => spreadText(row.generationSpread) },
    { name: "× generation", rank: 0, text: (row) => ratioText(row, row.generationRatio) },
  ],
  isDim: ({ program }) => program !== "openelm",
}

/** With a vocabulary, which a GGUF file has to have; ids beyond it are only numbers. */
const tokenizer = fileURLToPath(new URL("../../../train/text/tokenizer.model", import.meta.url))

type AgainstFlags = Omit<AgainstOptions, "tokenizer"> &
  Parameters<typeof openFor>[0] &
  Parameters<typeof measured>[0]

/** Measures this engine and the packages of these names. */
export const measureAgainst = (packages: readonly string[], flags: AgainstFlags): Promise<void> =>
  measured(
    flags,
    async (report) => {
      const others = await installed(packages)
      await using backend = await openFor(flags, report)
      const { threads = 1, build } = backend
      const rows = await benchAgainst(backend, others, { ...flags, tokenizer }, report)
      return { machine: { ...thisMachine(), build, threads }, rows }
    },
    ({ machine, rows }) => ({
      text: tableText(againstTable, rows),
      json: { schema: "elm-bench-against/1", machine, rows },
    }),
  )
