// What a model does when the device under it is lost: its weights are put into the memory of another
// one, and generations go on behind the last token that they told.
import { type Backend, DeviceLostError } from "../engine/index.ts"
import type { Token } from "./generate.ts"

/** Weights that live in a backend's memory, and how they come back into it. */
export class Residence {
  readonly #backend: Backend
  readonly #refill: () => Promise<void>
  #lost: number
  #restoring: Promise<void> | undefined
  #trained = false

  constructor(backend: Backend, refill: () => Promise<void>, lost: number) {
    this.#backend = backend
    this.#refill = refill
    this.#lost = lost
  }

  /** Devices that the backend had lost when the weights were written. */
  get lost(): number {
    return this.#lost
  }

  /** The weights are being trained: those that were loaded are not to come back. */
  markTrained(): void {
    this.#trained = true
  }

  /** Returns when the weights are there, on another device if theirs was lost. Throws Error when
   *  none comes back, DeviceLostError when the weights that were lost had been trained. */
  async restored(): Promise<void> {
    // Again where the next device was lost meanwhile, with a part of them.
    for (;;) {
      const lost = await lostDevices(this.#backend)
      if (lost === this.#lost) return
      if (this.#trained) {
        throw new DeviceLostError(
          "the device was lost with the weights that were trained on it. Load the last checkpoint",
        )
      }
      this.#restoring ??= this.#refill()
        .then(() => {
          this.#lost = lost
        })
        .finally(() => {
          this.#restoring = undefined
        })
      await this.#restoring
    }
  }

  /** What `work` gives with the weights in memory. Throws DeviceLostError where they were lost
   *  meanwhile, although others may have got another device since: nothing else shows it. `work` is
   *  given the check, for what it does on its way. */
  async during<T>(work: (check: () => Promise<void>) => Promise<T>): Promise<T> {
    await this.restored()
    const lost = this.#lost
    const check = () => checkLost(this.#backend, lost)
    const result = await work(check)
    await check()
    return result
  }
}

/** Throws DeviceLostError when a backend has lost more devices than `lost`. */
export async function checkLost(backend: Backend, lost: number): Promise<void> {
  if ((await lostDevices(backend)) === lost) return
  throw new DeviceLostError("the device was lost, and what was in its memory. Begin again")
}

/** Devices that a backend has lost so far; if the last one is among them, it gets another. */
export const lostDevices = async (backend: Backend): Promise<number> =>
  (await backend.recover?.()) ?? 0

/** A generation that begins again behind the tokens told when a device is lost; lost twice at the
 *  same token, it gives up. */
export async function* surviving(
  begin: (told: readonly number[]) => AsyncGenerator<Token, void, undefined>,
): AsyncGenerator<Token, void, undefined> {
  const told: number[] = []
  for (let before = -1; ; before = told.length) {
    try {
      for await (const token of begin(told)) {
        told.push(token.id)
        yield token
      }
      return
    } catch (error) {
      if (!(error instanceof DeviceLostError) || before === told.length) throw error
    }
  }
}
