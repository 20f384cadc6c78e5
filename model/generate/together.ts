// Many prompts in one decode plan: who has ended gives its place to the next. Each gets the tokens that it
// has alone, whoever is beside it.
import { DeviceLostError } from "../../engine/index.ts"
import { baseOf, stackIn } from "../adapters/stack.ts"
import { Batch } from "./batch.ts"
import type { Growing, Request } from "./completion.ts"
import { chosenFrom, stepOf } from "./host.ts"
import { Seat } from "./pool.ts"
import { powerOfTwo } from "./prefill.ts"
import type { Source } from "./source.ts"
import { nextTurn } from "./turn.ts"

/** Fewest positions of a batch's caches, which are as many as a power of two, so that they recur. */
const fewestPositions = 64

/** Completes all, `size` of them side by side at most. Begins again after the tokens that there are when
 *  the weights have moved or a device is lost; lost twice without a token between, it gives up. */
async function completeTogether(
  source: Source,
  all: readonly Growing[],
  size: number,
): Promise<void> {
  const seat = new Seat(source.pool)
  const count = (): number => all.reduce((sum, { ids }) => sum + ids.length, 0)
  for (let lostAt = -1; all.some(({ isDone }) => !isDone); ) {
    try {
      await untilMoved(source, all, size, seat)
    } catch (error) {
      if (!(error instanceof DeviceLostError) || lostAt === count()) throw error
      lostAt = count()
    } finally {
      seat.leave()
    }
  }
}

/** Most adapters of one plan, which computes something for all of them. */
const mostRoutes = 8

/** The route that completions through a source have, which is one of several. */
export const routeOf = (source: Source, sources: readonly Source[]): number =>
  sources.indexOf(source) % mostRoutes

/** The same of completions that go through different adapters of one model, in their routes. */
export async function completeRouted(
  sources: readonly Source[],
  all: readonly { readonly source: Source; readonly growing: Growing }[],
  size: number,
): Promise<void> {
  const seat = new Seat(baseOf(sources[0] as Source).pool)
  try {
    for (let at = 0; at < sources.length; at += mostRoutes) {
      const some = sources.slice(at, at + mostRoutes)
      const own = all.flatMap(({ source, growing }) => (some.includes(source) ? growing : []))
      const source = some.length > 1 ? stackIn(seat, some).source : (some[0] as Source)
      await completeTogether(source, own, size)
    }
  } finally {
    seat.leave()
  }
}

/** Until all are complete, or the weights have moved. */
async function untilMoved(
  source: Source,
  all: readonly Growing[],
  size: number,
  seat: Seat,
): Promise<void> {
  const { usage, residence } = source
  const waiting = all.filter(({ isDone }) => !isDone)
  const rows: (Growing | undefined)[] = Array(Math.min(size, waiting.length)).fill(undefined)
  const isWanted = (): boolean => waiting.length > 0 || rows.some((row) => row !== undefined)
  const begin = async () => {
    await residence.restored()
    const batch = batchOf(source, seat, rows.length, waiting)
    batch.begin(residence.lost)
    return { batch, writes: usage.writes }
  }
  const { batch, writes } = await usage.reading(begin)
  const turn = async (): Promise<boolean> => {
    if (usage.writes !== writes) return false
    await fill(batch, rows, waiting)
    if (rows.some((row) => row !== undefined)) await step(batch, rows)
    return true
  }
  while (isWanted()) {
    batch.check()
    if (!(await usage.reading(turn))) return
    await nextTurn()
    all[0]?.request.options.signal?.throwIfAborted()
  }
}

/** A batch with room for the longest text. */
export function batchOf(
  source: Source,
  seat: Seat,
  size: number,
  all: readonly { readonly request: Request }[],
): Batch {
  const { decoder, backend, options } = source
  const needed = all.map(({ request }) => request.prompt.length + request.options.maxNewTokens)
  const longest = Math.max(fewestPositions, ...needed)
  const capacity = Math.min(options.capacity, powerOfTwo(longest))
  const open = () => new Batch(decoder, backend, size, { ...options, capacity })
  return seat.take(`batch ${size} ${capacity}`, open)
}

/** Puts those who wait into places that are free; some are complete with their first token. */
async function fill(
  batch: Batch,
  rows: (Growing | undefined)[],
  waiting: Growing[],
): Promise<void> {
  for (const row of rows.keys()) {
    while (rows[row] === undefined && waiting.length > 0) {
      const growing = waiting.shift() as Growing
      rows[row] = growing
      const { options, route } = growing.request
      if (route !== undefined) batch.through(row, route)
      if (options.host) push(growing, await batch.read(row, growing.all))
      else growing.push({ id: await batch.append(row, growing.all, options) })
      clearDone(batch, rows, row)
      options.signal?.throwIfAborted()
    }
  }
}

/** A token more for every place. */
async function step(batch: Batch, rows: (Growing | undefined)[]): Promise<void> {
  const V = rows.some((row) => row?.request.options.host)
    ? await batch.logits(Int32Array.from(rows, (row) => row?.ids.at(-1) ?? 0))
    : undefined
  const tokens = V ? undefined : await batch.next()
  const width = V ? V.length / rows.length : 0
  for (const [row, growing] of rows.entries()) {
    if (!growing) continue
    if (V) push(growing, V.subarray(row * width, (row + 1) * width))
    else growing.push({ id: tokens?.[row] as number })
    clearDone(batch, rows, row)
  }
}

function push(growing: Growing, row: Float32Array): void {
  const { prompt, options } = growing.request
  const step = stepOf(growing.all, prompt.length, options)
  growing.push(chosenFrom(row, step, options, options.host as NonNullable<typeof options.host>))
}

function clearDone(batch: Batch, rows: (Growing | undefined)[], row: number): void {
  if (!rows[row]?.isDone) return
  batch.clear(row)
  rows[row] = undefined
}
