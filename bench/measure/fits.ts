// Whether models fit in a machine's memory beside what else it has to hold.
import { totalmem } from "node:os"
import { type DecoderConfig, type WeightDType, weightBytes } from "../../model/index.ts"

/** Share of the machine's memory that models may take. */
const mostMemory = 0.6

interface Weighed {
  readonly config: DecoderConfig
  readonly dtype: WeightDType
}

/** Reason why models that are held at once do not fit, if there is one. */
export function misfit(models: readonly Weighed[], memoryBytes = totalmem()): string | undefined {
  const bytes = models.reduce((sum, model) => sum + weightBytes(model.config, model.dtype), 0)
  const most = memoryBytes * mostMemory
  if (bytes <= most) return undefined
  const gb = (n: number) => `${(n / 1e9).toFixed(1)} GB`
  return `${gb(bytes)} of weights, more than ${gb(most)}, ${mostMemory} of this machine's memory`
}
