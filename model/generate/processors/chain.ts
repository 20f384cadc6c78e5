// All processors that options ask for, one after the other.
import { processors } from "./index.ts"
import type { Change, Processor, Vocabulary } from "./processor.ts"

/** Options that change logits before a token is chosen, by the names and rules of transformers. What is
 *  not on the device chooses tokens on the host, which waits for each row of logits: slower on a GPU. */
export type ProcessorOptions = {
  readonly [K in keyof typeof processors]?: Parameters<(typeof processors)[K]["check"]>[0]
}

/** The processors by the names of their options. */
export const processorList = Object.entries(processors) as unknown as readonly (readonly [
  keyof typeof processors,
  Processor,
])[]

interface Chain {
  readonly changes: readonly Change[]
  /** Whether the step that chooses a token on the device does all of this. */
  readonly isOnDevice: boolean
}

/** What options ask for; `own` comes after those that count always, before those that draw from
 *  fewer. Throws TypeError or RangeError naming the option. */
export function chainOf(
  options: ProcessorOptions,
  vocabulary: Vocabulary,
  own: readonly Change[] = [],
): Chain {
  const isSampled = options.temperature !== undefined && options.temperature > 0
  const [before, after]: [Change[], Change[]] = [[], [...own]]
  let isOnDevice = own.length === 0
  for (const [name, processor] of processorList) {
    const given = options[name]
    if (given === undefined) continue
    const value = processor.check(given, `generate: ${name}`, vocabulary)
    if (processor.isForSampling && !isSampled) continue
    const change = processor.change(value)
    if (!change) continue
    const isLast = processor.isForSampling || name === "renormalizeLogits"
    if (isLast) after.push(change)
    else before.push(change)
    isOnDevice &&= processor.isOnDevice === true
  }
  return { changes: [...before, ...after], isOnDevice }
}
