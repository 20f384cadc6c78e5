// When memory ends. A freed buffer is refused whoever comes with it, and a plan bound to it does not
// run again: its bytes may be another's by then. Every backend does this alike.
import type { Buffer } from "./backend.ts"
import type { Plan } from "./plan.ts"

/** The life of one buffer: whether it has ended, and the plans to notify when it does. */
export class Lifetime {
  #ended = false
  readonly #bindings = new Set<Binding>()

  get ended(): boolean {
    return this.#ended
  }

  /** Ends it, with every plan that is bound to it. False where it had ended before. */
  end(): boolean {
    if (this.#ended) return false
    this.#ended = true
    for (const binding of this.#bindings) binding.lose()
    this.#bindings.clear()
    return true
  }

  bind(binding: Binding): void {
    this.#bindings.add(binding)
  }

  unbind(binding: Binding): void {
    this.#bindings.delete(binding)
  }
}

/** A buffer of a backend that keeps its life so. */
export interface LivingBuffer extends Buffer {
  readonly life: Lifetime
}

/** What a prepared plan is bound to, until it is closed. */
export class Binding {
  readonly #backend: string
  readonly #buffers: ReadonlySet<LivingBuffer>
  #refusal: string | undefined

  /** The buffers of a plan. Throws Error for one that has been freed. */
  constructor(backend: string, plan: Plan, own: (buffer: Buffer) => LivingBuffer) {
    this.#backend = backend
    const places = plan.steps.flatMap(({ inputs, outputs }) => [...inputs, ...outputs])
    const bound = places.flatMap(({ storage: { buffer } }) => (buffer ? [buffer] : []))
    this.#buffers = new Set([...new Set(bound)].map(own))
  }

  /** Binds the plan, now that it is ready to run. */
  hold(): void {
    for (const { life } of this.#buffers) life.bind(this)
  }

  /** Whether the plan is closed, or has lost memory that it is bound to. */
  get ended(): boolean {
    return this.#refusal !== undefined
  }

  /** Throws Error where the plan is closed, or memory that it is bound to has been freed. */
  check(): void {
    if (this.#refusal !== undefined) throw new Error(this.#refusal)
  }

  /** Called when one of its buffers is freed. */
  lose(): void {
    this.#refusal ??= freedMemory(this.#backend)
  }

  close(): void {
    this.#refusal = `${this.#backend}: this plan is closed. Prepare it again`
    for (const { life } of this.#buffers) life.unbind(this)
  }
}

const freedMemory = (who: string): string =>
  `${who}: this buffer has been freed. Was its model closed meanwhile?`

/** Throws Error for a buffer whose memory has been given back. */
export function checkFreed(who: string, { freed }: Buffer): void {
  if (freed) throw new Error(freedMemory(who))
}
