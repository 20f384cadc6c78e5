// Requests that come and go while others are under way: each has a place in one batch, is read in pieces
// between the tokens of the others, and leaves when it is done or nobody waits for it. What each gets is
// what it gets alone.
import { DeviceLostError } from "../../engine/index.ts"
import { Batch } from "./batch.ts"
import { type ContinuousOptions, defaults, QueueFullError } from "./bounds.ts"
import type { Request } from "./completion.ts"
import { type ContinuousCounts, Counts } from "./counts.ts"
import type { Token } from "./generate.ts"
import { sharedLength } from "./ids.ts"
import { chunk, lengthsIn, padded, widthsOf } from "./reading.ts"
import type { Source } from "./source.ts"
import { Sources } from "./sources.ts"
import { nextTurn } from "./turn.ts"
import { Visit } from "./visit.ts"

/** What is begun alike is copied from another place if it is at least this long. */
const leastShared = 32

export class Continuous {
  readonly #sources: Sources
  readonly #queue: number
  readonly #waiting: Visit[] = []
  readonly #places: (Visit | undefined)[]
  /** What the caches of the places hold. */
  readonly #kept: number[][]
  /** The routes that they were read through. */
  readonly #routeOf: number[]
  readonly #counts: Counts
  #batch: Batch | undefined
  #writes = -1
  #lost = -1
  #running: Promise<void> | undefined
  #turns = 0
  #isClosed = false

  /** `sources`: what requests go through, by their routes. */
  constructor(
    sources: readonly Source[],
    { places = defaults.places, queue = defaults.queue }: ContinuousOptions = {},
  ) {
    this.#sources = new Sources(sources)
    this.#queue = queue
    this.#places = Array(places).fill(undefined)
    this.#kept = Array.from({ length: places }, () => [])
    this.#routeOf = Array(places).fill(0)
    this.#counts = new Counts(sources.length)
  }

  get counts(): ContinuousCounts {
    return this.countsOf()
  }

  /** Of one of several adapters; default of all. */
  countsOf(route?: number): ContinuousCounts {
    const isOf = (visit: Visit | undefined): boolean =>
      visit !== undefined && (route === undefined || visit.route === route)
    const [active, waiting] = [this.#places, this.#waiting].map((all) => all.filter(isOf).length)
    const now = { active: active as number, waiting: waiting as number }
    return { places: this.#places.length, ...now, ...this.#counts.of(route) }
  }

  /** Throws QueueFullError where so many more have no place to wait, RangeError where they never have. */
  checkRoom(count: number): void {
    const most = this.#places.length + this.#queue
    if (count > most) throw new RangeError(`${count} answers at a time, of at most ${most}`)
    const free = this.#places.filter((visit) => visit === undefined).length
    if (this.#waiting.length + count <= this.#queue + free) return
    throw new QueueFullError(
      `all ${this.#places.length} places are taken, and as many wait as may: ${this.#queue}. Try again later`,
    )
  }

  /** The tokens that a request gets, as they come; whoever leaves them frees its place. Throws QueueFullError
   *  where it has no place to wait, Error where its adapter was closed. */
  submit(request: Request): AsyncIterableIterator<Token, void, undefined> {
    if (this.#isClosed) throw new Error("nothing is served here any longer")
    this.#sources.check(request.route ?? 0)
    this.checkRoom(1)
    const visit = new Visit(request, () => this.#begin())
    if (visit.tokens.isOver) return visit.tokens
    this.#waiting.push(visit)
    this.#begin()
    return visit.tokens
  }

  /** Makes ready what requests need, so that the first of them does not wait for it. */
  async warm(): Promise<void> {
    if (this.#running) return
    if (this.#sources.isStale) this.#reopen()
    const { capacity } = this.#source.options
    await this.#source.usage.reading(async () => {
      const batch = await this.#current()
      for (const route of (this.#source.decoder.routes ?? [undefined]).keys()) {
        for (const place of this.#places.keys()) {
          batch.through(place, route)
          for (const length of lengthsIn(capacity)) batch.prepareRead(place, length, "next")
          if (chunk <= capacity) batch.prepareRead(place, chunk, "nothing")
          await nextTurn()
        }
      }
      for (const width of widthsOf(this.#places.length)) batch.prepareStep(width)
    })
  }

  /** Ends what is under way with an error, and frees the batch. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#fail(new Error("the server is closing"))
    await this.#running
    this.#batch?.close()
    this.#batch = undefined
    this.#sources.close()
  }

  get #source(): Source {
    return this.#sources.source
  }

  #begin(): void {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined
      if (this.#waiting.length > 0 && !this.#isClosed) this.#begin()
    })
  }

  async #run(): Promise<void> {
    while (this.#places.some((visit) => visit) || this.#waiting.length > 0) {
      if (this.#sources.isStale) this.#reopen()
      try {
        await this.#source.usage.reading(() => this.#turn())
      } catch (error) {
        if (error instanceof DeviceLostError) this.#again(error)
        else if (!this.#sources.isStale) this.#fail(error)
      }
      await nextTurn()
    }
  }

  /** Whoever goes through an adapter that was closed ends, the others read their tokens anew. */
  #reopen(): void {
    this.#batch?.close()
    this.#batch = undefined
    this.#writes = -1
    this.#sources.reopen()
    for (const visit of [...this.#places, ...this.#waiting]) {
      try {
        if (visit) this.#sources.check(visit.route)
      } catch (error) {
        visit?.tokens.fail(error)
      }
    }
  }

  /** One piece of a prompt, then a token for each that is past its prompt. */
  async #turn(): Promise<void> {
    const batch = await this.#current()
    this.#leave(batch)
    await this.#admit(batch)
    const reading = this.#places.filter((visit) => visit && !visit.isDecoding) as Visit[]
    const first = reading.sort((a, b) => a.readAt - b.readAt)[0]
    if (first) await this.#read(first, batch)
    if (this.#places.some((visit) => visit?.isDecoding)) await this.#step(batch)
  }

  /** The batch, with nothing in it where the weights have moved or a device was lost. */
  async #current(): Promise<Batch> {
    const { decoder, backend, options, usage, residence } = this.#source
    await residence.restored()
    const open = () => new Batch(decoder, backend, this.#places.length, { ...options, padded })
    this.#batch ??= open()
    if (this.#writes !== usage.writes || this.#lost !== residence.lost) {
      ;[this.#writes, this.#lost] = [usage.writes, residence.lost]
      this.#batch.begin(residence.lost)
      for (const [place, visit] of this.#places.entries()) {
        this.#kept[place] = []
        if (visit) visit.isDecoding = false
      }
    }
    return this.#batch
  }

  /** Those who left, or were aborted, give their places back. */
  #leave(batch: Batch): void {
    for (const visit of this.#places) if (visit?.tokens.isOver) this.#free(visit, batch)
    const there = this.#waiting.filter(({ tokens }) => !tokens.isOver)
    this.#waiting.splice(0, this.#waiting.length, ...there)
  }

  #free(visit: Visit, batch: Batch): void {
    const { place } = visit
    batch.rest(place, batch.lengthOf(place))
    this.#kept[place] = visit.all.slice(0, batch.lengthOf(place))
    this.#places[place] = undefined
  }

  /** Who came first gets the first free place: where the most of its prompt is known, if that is worth it. */
  async #admit(batch: Batch): Promise<void> {
    for (;;) {
      const free = [...this.#places.keys()].filter((place) => !this.#places[place])
      const visit = free.length > 0 ? this.#waiting.shift() : undefined
      if (!visit) return
      const prompt = visit.all.slice(0, -1)
      const shared = this.#kept.map((_, place) =>
        this.#routeOf[place] === visit.route ? sharedLength(this.#known(place, batch), prompt) : 0,
      )
      const best = shared.indexOf(Math.max(...shared))
      const most = shared[best] as number
      const isWorth = most >= leastShared
      const place = isWorth && free.includes(best) ? best : (free[0] as number)
      const kept = isWorth ? most : (shared[place] as number)
      if (isWorth && place !== best) await batch.share(best, place, kept)
      else batch.rest(place, kept)
      this.#counts.add(visit.route, "reused", kept)
      this.#kept[place] = []
      this.#routeOf[place] = visit.route
      this.#places[place] = visit
      visit.place = place
    }
  }

  /** The tokens in a place's cache. */
  #known(place: number, batch: Batch): readonly number[] {
    const visit = this.#places[place]
    if (!visit) return this.#kept[place] as number[]
    return visit.all.slice(0, batch.lengthOf(place))
  }

  async #read(visit: Visit, batch: Batch): Promise<void> {
    const { request, all } = visit
    const { options } = request
    const { place } = visit
    visit.readAt = ++this.#turns
    const from = batch.lengthOf(place)
    const ids = all.slice(from, from + chunk)
    this.#counts.add(visit.route, "read", ids.length)
    batch.through(place, visit.route)
    if (from + ids.length < all.length) return batch.prefill(place, ids)
    visit.isDecoding = true
    if (options.host) this.#choose(visit, await batch.read(place, ids), batch)
    else this.#push(visit, await batch.append(place, ids, options), batch)
  }

  async #step(batch: Batch): Promise<void> {
    const last = this.#places.findLastIndex((visit) => visit?.isDecoding)
    const width = widthsOf(this.#places.length).find((each) => each > last) as number
    const all = this.#places.slice(0, width)
    const wantsLogits = all.some((visit) => visit?.isDecoding && visit.request.options.host)
    const { tokens, logits } = await batch.step(width, wantsLogits)
    const decoding = all.flatMap((visit) => (visit?.isDecoding ? visit.route : []))
    this.#counts.step(new Set(decoding))
    const V = this.#source.decoder.config.vocabSize
    for (const [place, visit] of all.entries()) {
      if (!visit?.isDecoding) continue
      if (!visit.request.options.host) this.#push(visit, tokens[place] as number, batch)
      else this.#choose(visit, (logits as Float32Array).subarray(place * V, (place + 1) * V), batch)
    }
  }

  /** Where the device cannot choose as its options say. */
  #choose(visit: Visit, row: Float32Array, batch: Batch): void {
    const id = visit.choose(row)
    if (id !== undefined) batch.choose(visit.place, id)
    this.#counted(visit, batch)
  }

  #push(visit: Visit, id: number, batch: Batch): void {
    visit.push({ id })
    this.#counted(visit, batch)
  }

  /** Its place is free where that was the last. */
  #counted(visit: Visit, batch: Batch): void {
    this.#counts.add(visit.route, "generated", 1)
    if (visit.tokens.isOver) this.#free(visit, batch)
  }

  /** All read their tokens anew; whoever has lost a device twice at the same token gives up. */
  #again(error: unknown): void {
    for (const visit of this.#places) {
      if (!visit) continue
      if (visit.lostAt === visit.all.length) visit.tokens.fail(error)
      visit.lostAt = visit.all.length
      visit.isDecoding = false
    }
    this.#lost = -1
  }

  #fail(error: unknown): void {
    for (const visit of [...this.#places, ...this.#waiting]) visit?.tokens.fail(error)
    this.#waiting.length = 0
    this.#places.fill(undefined)
    this.#lost = -1
  }
}
