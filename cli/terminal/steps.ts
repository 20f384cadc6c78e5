// The steps of one token as a table: work, time, part of the roofline; and the totals of the token.
import type { StepRow } from "../../bench/measure/explain.ts"
import { hundredths } from "./amounts.ts"
import { type TableOf, tableText } from "./table.ts"

/** A step, or all of them together. */
interface StepLine
  extends Pick<StepRow, "bytes" | "flops" | "microseconds" | "rooflineMicroseconds"> {
  readonly step: number | "all"
  readonly kernel: string
  readonly workgroups: string
}

export const stepsTable: TableOf<StepLine> = {
  columns: [
    { name: "step", rank: 0, text: ({ step }) => step },
    { name: "kernel", rank: 0, left: true, least: 12, text: ({ kernel }) => kernel },
    { name: "workgroups", rank: 4, text: ({ workgroups }) => workgroups },
    { name: "KiB", rank: 3, text: ({ bytes }) => (bytes / 1024).toFixed(1) },
    { name: "MFLOP", rank: 2, text: ({ flops }) => (flops / 1e6).toFixed(2) },
    { name: "µs", rank: 0, text: ({ microseconds: us }) => us?.toFixed(1) ?? "no timestamps" },
    {
      name: "% roofline",
      rank: 1,
      text: ({ microseconds: us, rooflineMicroseconds: least }) =>
        us === undefined ? undefined : hundredths(least / us),
    },
  ],
}

/** The table of a token of a model. */
export function stepsText(
  { model, dtype }: { readonly model: string; readonly dtype: string },
  steps: readonly StepRow[],
  width?: number,
): string {
  const title = `${model} ${dtype}, the steps of a token`
  return tableText({ ...stepsTable, title }, stepLines(steps), width)
}

/** The steps in order, and the totals of the token. */
function stepLines(steps: readonly StepRow[]): StepLine[] {
  const each = steps.map((row) => ({
    ...row,
    kernel: row.kernels.join(" + ") || row.op,
    workgroups: row.workgroups.filter((n) => n > 0).join(" + "),
  }))
  const times = steps.map(({ microseconds }) => microseconds)
  const dispatches = sum(steps.map(({ kernels }) => Math.max(1, kernels.length)))
  const all = {
    step: "all" as const,
    kernel: `${dispatches} dispatches`,
    workgroups: "",
    bytes: sum(steps.map(({ bytes }) => bytes)),
    flops: sum(steps.map(({ flops }) => flops)),
    microseconds: times.every((us) => us !== undefined) ? sum(times) : undefined,
    rooflineMicroseconds: sum(steps.map((row) => row.rooflineMicroseconds)),
  }
  return [...each, all]
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0)
