// What a model does when the device under it is lost: its weights are put into the memory of another
// one. Generations go on by themselves (stream.ts).
import { type Backend, DeviceLostError } from "../../engine/index.ts"
import { nextTurn } from "../generate/turn.ts"

/** Weights that live in a backend's memory, and how they come back into it. */
export class Residence {
  readonly backend: Backend
  readonly #refill: () => Promise<void>
  #lost: number
  #restoring: Promise<void> | undefined
  #trained = false

  constructor(backend: Backend, refill: () => Promise<void>, lost: number) {
    this.backend = backend
    this.#refill = refill
    this.#lost = lost
  }

  /** Devices that the backend had lost when the weights were written. */
  get lost(): number {
    return this.#lost
  }

  /** Returns when the weights are there, on another device if theirs was lost. Throws Error when
   *  none comes back, DeviceLostError when the weights that were lost had been trained. */
  async restored(): Promise<void> {
    // Again where the next device was lost meanwhile, with a part of them.
    for (;;) {
      const lost = await lostDevices(this.backend)
      if (lost === this.#lost) return
      if (this.#trained) throw this.#gone()
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
   *  given the check, for what it does on its way. Timers and signals have their turn after it, however
   *  often it is called. */
  async during<T>(work: (check: Check) => Promise<T>): Promise<T> {
    await this.restored()
    const lost = this.#lost
    const check = async (): Promise<void> => {
      if ((await lostDevices(this.backend)) !== lost) throw this.#gone()
    }
    const result = await work(check)
    await check()
    await nextTurn()
    return result
  }

  /** The same for what trains them: those that were loaded are not to come back from then on. */
  async training<T>(work: (check: Check) => Promise<T>): Promise<T> {
    await this.restored()
    this.#trained = true
    return this.during(work)
  }

  #gone(): DeviceLostError {
    return new DeviceLostError(
      this.#trained
        ? "the device was lost with the weights that were trained on it. Load the last checkpoint"
        : lostMemory,
    )
  }
}

/** The same memory, and `prepare` before anything is read of what depends on it. */
export class PreparedResidence extends Residence {
  readonly #base: Residence
  readonly #prepare: () => Promise<void>

  constructor(base: Residence, prepare: () => Promise<void>) {
    super(base.backend, async () => undefined, base.lost)
    this.#base = base
    this.#prepare = prepare
  }

  override get lost(): number {
    return this.#base.lost
  }

  override async restored(): Promise<void> {
    await this.#base.restored()
    await this.#prepare()
  }

  override during<T>(work: (check: Check) => Promise<T>): Promise<T> {
    return this.#base.during(async (check) => {
      await this.#prepare()
      return work(check)
    })
  }

  override training<T>(work: (check: Check) => Promise<T>): Promise<T> {
    return this.#base.training(work)
  }
}

/** Throws DeviceLostError where what was in a device's memory has been lost. */
export type Check = () => Promise<void>

const lostMemory = "the device was lost, and what was in its memory. Begin again"

/** Throws DeviceLostError when a backend has lost more devices than `lost`. */
export async function checkLost(backend: Backend, lost: number): Promise<void> {
  if ((await lostDevices(backend)) === lost) return
  throw new DeviceLostError(lostMemory)
}

/** Devices that a backend has lost so far; if the last one is among them, it gets another. */
export const lostDevices = async (backend: Backend): Promise<number> =>
  (await backend.recover?.()) ?? 0
