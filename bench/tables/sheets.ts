// Lines of the paper's tables as sheets that other programs take: CSV, and Markdown ready to paste.
import { headingOf, type TableHead, type Throughput } from "./paper.ts"
import type { TableLine } from "./table.ts"

const columns = ["prompt", "generation", "total"] as const

const csvField = (value: string | number | undefined): string => {
  const text = value === undefined ? "" : String(value)
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

/** A line for each row, with rates in tokens per second. */
export function csvOf(lines: readonly TableLine[]): string {
  const head = [
    ...["table", "model", ...columns.map((name) => `${name}_tokens_per_second`)],
    ...columns.map((name) => `paper_${name}_tokens_per_second`),
    ...["bandwidth_fraction", "norms_per_token", "generation_ratio", "foreign_share", "skipped"],
  ]
  const rows = lines.map((line) => [
    ...[line.table, line.label],
    ...columns.map((name) => line.rates?.[name]),
    ...columns.map((name) => line.paper?.[name]),
    ...[line.bandwidthFraction, line.normsPerToken, line.generationRatio, line.foreignShare],
    line.skipped,
  ])
  return [head, ...rows].map((row) => `${row.map(csvField).join(",")}\n`).join("")
}

const rounded = (x: number): string => (x < 100 ? x.toFixed(1) : x.toFixed(0))
const cell = (rates: Throughput | undefined, name: keyof Throughput): string =>
  rates ? rounded(rates[name]) : ""

/** A heading and a table for each of the paper's, tokens per second. */
export function markdownOf(tables: readonly TableHead[], lines: readonly TableLine[]): string {
  return tables
    .map((table) => {
      const own = lines.filter((line) => line.table === table.name)
      const rows = own.map(({ label, rates, paper, skipped }) => {
        const here = skipped ? [skipped, "", ""] : columns.map((column) => cell(rates, column))
        return `| ${[label, ...here, ...columns.map((c) => cell(paper, c))].join(" | ")} |`
      })
      return [
        `### ${headingOf(table)}`,
        "",
        "| model | prompt | generation | total | paper: prompt | generation | total |",
        `|---|${"---:|".repeat(6)}`,
        ...rows,
        "",
        `Tokens per second. The paper's numbers are of another machine: ${table.on}.`,
        "",
      ].join("\n")
    })
    .join("\n")
}
