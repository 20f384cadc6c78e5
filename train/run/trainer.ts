// The loop of a run on one device, whatever it trains (work.ts): updates, validation, samples of text,
// checkpoints, the lines of its log. What a person sees of it is the command's matter; it calls back.
import { nextTurn } from "../../model/index.ts"
import { alone, type Communicator, gatherNumbers } from "../parallel/communicator.ts"
import { accompanyCheckpoint, checkpointOf, readRunState, writeCheckpoint } from "./checkpoint.ts"
import type { RunFolder } from "./folder.ts"
import type { StepMetrics, Validation } from "./metrics.ts"
import { anyOf, checkSameParameters } from "./ranks.ts"
import type { RunOptions, RunResult } from "./run.ts"
import type { BestValidation } from "./state.ts"
import type { LoopSettings, RunKind, Work } from "./work.ts"

/** One run, from its folder and settings to its last checkpoint. */
export class Run<S extends LoopSettings> {
  /** The first rank's. */
  readonly #folder: RunFolder | undefined
  readonly #ranks: Communicator
  readonly #kind: RunKind<S>
  readonly #settings: S
  readonly #options: RunOptions
  readonly #work: Work
  /** The last that this run wrote. */
  checkpoint: string | undefined
  #tokens = 0
  #best: BestValidation | undefined
  #lastEvaluation: Validation | undefined
  #mostFlops = 0
  /** Positions trained on and milliseconds spent in steps since the last line. */
  #since = { positions: 0, ms: 0, steps: 0 }

  private constructor(
    folder: RunFolder | undefined,
    kind: RunKind<S>,
    settings: S,
    more: RunParts,
  ) {
    this.#folder = folder
    this.#ranks = more.options.ranks ?? alone
    this.#kind = kind
    this.#settings = settings
    this.#options = more.options
    this.#work = more.work
    this.#tokens = more.tokens
    this.#best = more.best
  }

  static async open<S extends LoopSettings>(
    folder: RunFolder | undefined,
    kind: RunKind<S>,
    settings: S,
    options: RunOptions,
  ): Promise<Run<S>> {
    const { resume } = options
    if (resume === undefined) {
      const work = await kind.open(settings, options)
      return new Run(folder, kind, settings, { options, work, tokens: 0, best: undefined })
    }
    const checkpoint = await checkpointOf(resume)
    const state = await readRunState(checkpoint, kind)
    const work = await kind.open(settings, options, { checkpoint, state })
    const { tokens, best } = state
    return new Run(folder, kind, settings, { options, work, tokens, best })
  }

  async train(): Promise<RunResult> {
    const { evalEvery, sampleEvery, saveEvery } = this.#settings
    const { step: made, steps } = this.#work
    const begin = made.steps
    await this.#begin()
    const due = (every: number, step: number): boolean => every > 0 && step % every === 0
    while (made.steps < steps && !this.#isOver && !(await this.#isStopped())) {
      await this.#update()
      const step = made.steps
      if (step === begin + 1) await this.#sayMemory()
      if (due(evalEvery, step) || step === steps) await this.#evaluate()
      const last = step === steps || this.#isOver
      if (due(sampleEvery, step) || (last && sampleEvery > 0)) await this.#sample()
      const isBest = this.#best?.step === step
      if (due(saveEvery, step) || last || isBest) await this.#save()
      else if (due(this.#options.compareEvery ?? usualCompareEvery, step)) await this.#compare()
      // Lets signals and the data's threads be heard.
      await nextTurn()
    }
    const step = made.steps
    const isOver = this.#isOver
    const stopped = step < steps && !isOver
    const isSaved = due(saveEvery, step) || this.#best?.step === step
    if (stopped && step > begin && !isSaved) await this.#save()
    const { checkpoint } = this
    const lastEvaluation = this.#lastEvaluation
    const best = this.#best && { best: this.#best }
    return { step, tokens: this.#tokens, stopped, checkpoint, lastEvaluation, isOver, ...best }
  }

  /** Updates made. */
  get step(): number {
    return this.#work.step.steps
  }

  close(): Promise<void> {
    return this.#work.close()
  }

  /** Whether validations have not become better for as long as the run has patience. */
  get #isOver(): boolean {
    const { patience = 0 } = this.#settings
    return patience > 0 && (this.#best?.worse ?? 0) >= patience
  }

  /** Whether a rank is to end. */
  #isStopped(): Promise<boolean> {
    return anyOf(this.#ranks, this.#options.signal?.aborted ?? false)
  }

  #compare(): Promise<void> {
    return checkSameParameters(this.#ranks, this.#work.step)
  }

  async #begin(): Promise<void> {
    const { model, step, tokenizer, validation, steps, about } = this.#work
    const { config, parameters } = model
    const { ignoreIndex } = step.settings
    const sizes = { config, parameters, validation, ignoreIndex }
    await this.#options.onStart?.({ ...sizes, step: step.steps, steps, tokenizer, about })
  }

  /** Of several ranks the most that one takes. */
  async #sayMemory(): Promise<void> {
    const { onMemory } = this.#options
    // What it would be otherwise takes a plan of its own.
    if (!onMemory && this.#ranks.size === 1) return
    const { model, step } = this.#work
    const { optimizerBytes, activationBytes, otherActivationBytes } = step
    const stateBytes = model.weightBytes + optimizerBytes
    const own = { stateBytes, activationBytes, otherActivationBytes, ...step.stateBytes }
    const all = await gatherNumbers(this.#ranks, Object.values(own))
    const most = Object.keys(own).map((name, i) => [
      name,
      Math.max(...all.map((x) => Number(x[i]))),
    ])
    const { stateBytes: sum, activationBytes: kept, ...rest } = Object.fromEntries(most)
    const { otherActivationBytes: other, ...parts } = rest
    const isParted = step.settings.shard !== "none"
    const sizes = { stateBytes: sum, activationBytes: kept, otherActivationBytes: other }
    onMemory?.({ ...sizes, ...(isParted && { parts }) })
  }

  async #update(): Promise<void> {
    const made = await this.#work.update()
    const since = this.#since
    since.ms += made.ms
    since.positions += made.positions
    since.steps++
    this.#tokens += made.counted
    const step = this.#work.step.steps
    if (step % this.#settings.logEvery !== 0 && step !== this.#work.steps) return
    const flops = (this.#work.step.flops * since.steps * 1000) / since.ms
    const measured = await this.#options.measureFlops?.()
    // The machine can do what it did at any time, whatever else ran on it when it was measured.
    if (measured !== undefined) this.#mostFlops = Math.max(this.#mostFlops, measured, flops)
    const most = measured === undefined ? undefined : this.#mostFlops
    const line = {
      step,
      ...this.#work.report(),
      lr: made.lr,
      grad_norm: made.gradNorm,
      tokens: this.#tokens,
      tokens_per_second: (1000 * since.positions) / since.ms,
      ...(most === undefined ? {} : { mul_add_fraction: flops / most }),
    }
    await this.#options.onMetrics?.(line as StepMetrics)
    this.#since = { positions: 0, ms: 0, steps: 0 }
  }

  async #evaluate(): Promise<void> {
    const found = await this.#work.evaluate()
    if (!found) return
    this.#lastEvaluation = found
    if (this.#settings.keepBest) {
      const { step, validation_loss: loss } = found
      const best = this.#best
      const isBest = best === undefined || loss < best.loss
      this.#best = isBest ? { step, loss, worse: 0 } : { ...best, worse: best.worse + 1 }
    }
    await this.#options.onMetrics?.(found)
  }

  async #sample(): Promise<void> {
    const { step } = this
    // The others wait for the first where they next meet.
    if (this.#ranks.rank > 0 && this.#work.step.settings.shard !== "full") return
    const sample = await this.#work.sample()
    if (sample !== undefined) await this.#options.onMetrics?.({ step, sample })
  }

  async #save(): Promise<void> {
    const { keep } = this.#settings
    const { step, tokenizer } = this.#work
    const { name: kind } = this.#kind
    await this.#compare()
    const data = (await this.#work.place()) ?? null
    const state = {
      ...(kind !== undefined && { kind }),
      tokens: this.#tokens,
      settings: this.#kind.toWrite(this.#settings),
      data,
      ...(this.#best && { best: this.#best }),
    }
    const folder = this.#folder
    if (!folder) return accompanyCheckpoint(step)
    this.checkpoint = await writeCheckpoint(folder, step, state, { tokenizer, keep })
    this.#options.onCheckpoint?.(this.checkpoint)
  }
}

/** Updates between comparisons of what ranks have. */
const usualCompareEvery = 100

interface RunParts {
  readonly options: RunOptions
  readonly work: Work
  readonly tokens: number
  readonly best: BestValidation | undefined
}
