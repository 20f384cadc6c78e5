// What the paper's tables 1, 4 and 5 print, to stand beside a measured row.  arXiv 2404.14619
import type { SuiteName } from "./suites.ts"

/** A model in a table: its scores in percent, in the order of the suite, and the average as printed. */
interface PaperScores {
  readonly scores: readonly number[]
  readonly average: number
}

interface PaperModel {
  readonly name: string
  /** Where not all is known, only the average of one suite. */
  readonly suites: Partial<Readonly<Record<SuiteName, PaperScores>>>
}

type Printed = readonly [scores: readonly number[], average: number]

function openelm(name: string, [zeroShot, openllm, llm360]: readonly [Printed, Printed, Printed]) {
  const of = ([scores, average]: Printed): PaperScores => ({ scores, average })
  return {
    name,
    suites: { "zero-shot": of(zeroShot), openllm: of(openllm), llm360: of(llm360) },
  }
}

/** Of table 1, which has no scores of single tasks. */
const averageOnly = (name: string, average: number): PaperModel => ({
  name,
  suites: { openllm: { scores: [], average } },
})

/** Tables 4 and 5. The averages are of scores before they were rounded: they may differ by 0.01 from those
 *  of the scores here. */
export const paperModels: readonly PaperModel[] = [
  averageOnly("OPT-1.3B", 41.49),
  averageOnly("Pythia-1.4B", 41.83),
  averageOnly("MobiLlama-1.3B", 43.55),
  averageOnly("OLMo-1.2B", 43.57),
  openelm("OpenELM-270M", [
    [[26.45, 45.08, 53.98, 46.71, 69.75, 84.7, 53.91], 54.37],
    [[27.65, 47.15, 25.72, 39.24, 53.83], 38.72],
    [[27.65, 66.79, 47.15, 25.72, 69.75, 30.91, 39.24, 53.83], 45.13],
  ]),
  openelm("OpenELM-270M-Instruct", [
    [[30.55, 46.68, 48.56, 52.07, 70.78, 84.4, 52.72], 55.11],
    [[32.51, 51.58, 26.7, 38.72, 53.2], 40.54],
    [[32.51, 66.01, 51.58, 26.7, 70.78, 33.78, 38.72, 53.2], 46.66],
  ]),
  openelm("OpenELM-450M", [
    [[27.56, 48.06, 55.78, 53.97, 72.31, 87.2, 58.01], 57.56],
    [[30.2, 53.86, 26.01, 40.18, 57.22], 41.5],
    [[30.2, 68.63, 53.86, 26.01, 72.31, 33.11, 40.18, 57.22], 47.69],
  ]),
  openelm("OpenELM-450M-Instruct", [
    [[30.38, 50, 60.37, 59.34, 72.63, 88, 58.96], 59.95],
    [[33.53, 59.31, 25.41, 40.48, 58.33], 43.41],
    [[33.53, 67.44, 59.31, 25.41, 72.63, 36.84, 40.48, 58.33], 49.25],
  ]),
  openelm("OpenELM-1_1B", [
    [[32.34, 55.43, 63.58, 64.81, 75.57, 90.6, 61.72], 63.44],
    [[36.69, 65.71, 27.05, 36.98, 63.22], 45.93],
    [[36.69, 71.74, 65.71, 27.05, 75.57, 36.46, 36.98, 63.22], 51.68],
  ]),
  openelm("OpenELM-1_1B-Instruct", [
    [[37.97, 52.23, 70, 71.2, 75.03, 89.3, 62.75], 65.5],
    [[41.55, 71.83, 25.65, 45.95, 64.72], 49.94],
    [[41.55, 71.02, 71.83, 25.65, 75.03, 39.43, 45.95, 64.72], 54.4],
  ]),
  openelm("OpenELM-3B", [
    [[35.58, 59.89, 67.4, 72.44, 78.24, 92.7, 65.51], 67.39],
    [[42.24, 73.28, 26.76, 34.98, 67.25], 48.9],
    [[42.24, 73.29, 73.28, 26.76, 78.24, 38.76, 34.98, 67.25], 54.35],
  ]),
  openelm("OpenELM-3B-Instruct", [
    [[39.42, 61.74, 68.17, 76.36, 79, 92.5, 66.85], 69.15],
    [[47.7, 76.87, 24.8, 38.76, 67.96], 51.22],
    [[47.7, 72.33, 76.87, 24.8, 79, 38.47, 38.76, 67.96], 55.73],
  ]),
]
