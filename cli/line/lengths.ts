// Lengths of a prompt and of what is generated after it, as the measurements of whole models take them.
import { explainRounds } from "../../bench/measure/explain.ts"
import { type Lengths, leastGenerated, nearestFit } from "../../bench/measure/lengths.ts"
import { paperPromptTokens } from "../../bench/tables/paper.ts"
import type { DecoderConfig } from "../../model/index.ts"
import { usageError, whole } from "./arguments.ts"
import { valued } from "./flags.ts"

export const prompt = valued("<n>", "prompt tokens", whole(1), paperPromptTokens)

/** The number of --generate. */
export const generated = whole(leastGenerated)

/** Throws, as wrong usage, where a model's context does not hold what is to be measured. */
export function checkFits(lengths: Lengths, config: DecoderConfig): void {
  const { prompt, generate, explain = false } = lengths
  const nearest = nearestFit(lengths, config)
  if (!nearest) return
  const all = `--prompt ${prompt} and --generate ${generate}`
  const more = explain ? ` and --explain, ${explainRounds},` : ""
  const advice =
    nearest.prompt === prompt
      ? `--generate ${nearest.generate}`
      : `--prompt ${nearest.prompt} with --generate ${nearest.generate}`
  throw usageError(
    `${all}${more} are more tokens than the context of ${config.name} holds: ${config.maxContext}. ` +
      `Use ${advice} or less`,
  )
}
