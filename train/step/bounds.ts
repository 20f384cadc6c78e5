// Whether f32 surely holds what an update makes, told beforehand and without looking at it: by
// bounds of the parameters and first moments, which each update moves on, and which are measured
// where they do not tell. With settings as people have them that is once.
import { type Backend, readTensors } from "../../engine/index.ts"
import { add } from "../../ops/index.ts"
import { largestNorm, type OptimiserSettings, type Parameter, squaredNorm } from "./optimiser.ts"

/** What no parameter and no step may exceed; f32's largest is 34 times that. */
const most = 1e37

interface Magnitudes {
  readonly parameter: number
  readonly moment: number
}

export class Bounds {
  readonly #parameters: readonly Parameter[]
  readonly #settings: OptimiserSettings
  readonly #backend: Backend
  #known: Magnitudes | undefined

  constructor(parameters: readonly Parameter[], settings: OptimiserSettings, backend: Backend) {
    this.#parameters = parameters
    this.#settings = settings
    this.#backend = backend
  }

  /** Whether an update at these rates, as adamW takes them, stays finite whatever its gradients. */
  async hold(rates: Float32Array): Promise<boolean> {
    for (const known of this.#known ? [this.#known, undefined] : [undefined]) {
      const before = known ?? (await magnitudesOf(this.#parameters, this.#backend))
      this.#known = boundsAfter(before, rates, this.#settings)
      if (this.#known) return true
    }
    return false
  }
}

/** Bounds after an update of |p·(1 − lr·decay) − rate·m / (√v·root + eps)|; m is a mean of gradients,
 *  none of them above the clip. undefined where f32 might not hold it. */
function boundsAfter(
  { parameter, moment }: Magnitudes,
  rates: Float32Array,
  { clip, eps, weightDecay }: OptimiserSettings,
): Magnitudes | undefined {
  const [lr, rate] = rates as unknown as [number, number]
  const mean = Math.max(moment, Math.min(clip, largestNorm))
  const kept = parameter * Math.max(1, Math.abs(1 - lr * weightDecay))
  const moved = kept + (rate * mean) / eps
  // The step itself, and the factor of the decay, are numbers of f32 too.
  const largest = Math.max(moved, rate * mean, lr * weightDecay)
  return largest < most ? { parameter: moved, moment: mean } : undefined
}

/** Upper bounds of the magnitudes: the norms. Infinite where f32 does not hold their squares. */
async function magnitudesOf(
  parameters: readonly Parameter[],
  backend: Backend,
): Promise<Magnitudes> {
  const norms = (["master", "first"] as const).map((name) =>
    parameters.map((each) => squaredNorm(each[name])).reduce((a, b) => add(a, b)),
  )
  const [parameter, moment] = (await readTensors(norms, backend)).map((x) =>
    Math.sqrt(Number(x[0])),
  )
  return { parameter: parameter as number, moment: moment as number }
}
