// `elm bench ops`: the time of every op case, with its bytes, multiply-adds and share of the ceiling.
import { benchOps, type OpRow } from "../../bench/measure/ops.ts"
import { type VariantRow, variantsOf } from "../../bench/measure/variants.ts"
import { allOps } from "../../ops/index.ts"
import { chosenOf, usageError } from "../line/arguments.ts"
import { command } from "../line/command.ts"
import { toggle, under, valued } from "../line/flags.ts"
import { checkedCase, opSizes } from "../line/op_sizes.ts"
import { onBackend } from "../line/open.ts"
import { headings, json, machine } from "../line/options.ts"
import { hundredths, percent } from "../terminal/amounts.ts"
import { tabulate } from "../terminal/output.ts"
import type { TableOf } from "../terminal/table.ts"

/** What follows from a time, where there is one. */
const derived = (x: number | undefined, text: (x: number) => string): string | undefined =>
  x === undefined ? undefined : text(x)

const billions = (x: number): string => (x / 1e9).toFixed(2)

const table: TableOf<OpRow> = {
  columns: [
    { name: "case", rank: 0, left: true, least: 28, text: (row) => row.case },
    { name: "µs", rank: 0, text: (row) => row.microseconds?.toFixed(2) ?? "no timestamps" },
    { name: "±", rank: 5, text: (row) => derived(row.errorFraction, percent) },
    { name: "GB/s", rank: 3, text: (row) => derived(row.bytesPerSecond, billions) },
    { name: "% bandwidth", rank: 1, text: (row) => derived(row.bandwidthFraction, hundredths) },
    { name: "GFLOP/s", rank: 4, text: (row) => derived(row.flopsPerSecond, billions) },
    { name: "% mul-add", rank: 2, text: (row) => derived(row.flopsFraction, hundredths) },
  ],
}

const range = ([least, most]: readonly [number, number]): string =>
  least === most ? String(least) : `${least} … ${most}`

const variantTable: TableOf<VariantRow> = {
  columns: [
    { name: "op", rank: 0, left: true, least: 12, text: ({ op }) => op },
    { name: "kernel", rank: 0, left: true, least: 12, text: ({ entry }) => entry },
    { name: "condition", rank: 1, left: true, text: ({ when }) => when },
    { name: "needs", rank: 2, left: true, text: ({ needs }) => needs.join(" ") },
    { name: "cases", rank: 3, text: ({ serves, cases }) => `${serves}/${cases}` },
    { name: "workgroups", rank: 4, left: true, text: ({ groups }) => range(groups) },
    { name: "by fours", rank: 5, left: true, text: ({ fours }) => fours.join(" ") },
  ],
}

export const ops = command({
  name: "ops",
  description: "time every op of the table, case by case",
  flags: {
    ...under(headings.measurement, {
      filter: valued("<names>", "only these ops, separated by commas", (text) =>
        chosenOf(text, allOps, ({ name }) => name),
      ),
      sizes: valued("<case>", "sizes for them, as N=256,D=1280,eps=1e-6; repeatable", opSizes),
      variants: toggle("list how each runs on a GPU instead: kernels, conditions, features"),
    }),
    ...machine,
    ...json,
  },
  tables: [table, variantTable],
  run(flags) {
    const { filter, sizes, variants } = flags
    if (variants && sizes) throw usageError("--variants are of all sizes. Leave --sizes out")
    if (variants) {
      return tabulate("elm-bench-variants/1", flags, variantTable, async () => variantsOf(filter))
    }
    return tabulate("elm-bench-ops/1", flags, table, (report) => {
      if (sizes && !filter) {
        throw usageError("--sizes are those of some ops. Name them with --filter")
      }
      const asked = (filter ?? allOps)
        .filter(({ view }) => !view)
        .map((op) => ({
          op,
          tests: sizes ? sizes.map((test) => checkedCase(op, test)) : op.cases,
        }))
      return onBackend(flags, (backend) => benchOps(backend, asked, report))
    })
  },
})
