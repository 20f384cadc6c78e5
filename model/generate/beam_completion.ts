// A prompt completed by beams, which are the sequences of a batch.
import { DeviceLostError } from "../../engine/index.ts"
import type { Batch } from "./batch.ts"
import type { BeamOptions } from "./beam_options.ts"
import { BeamSearch, type Finished } from "./beams.ts"
import type { Request } from "./completion.ts"
import type { HostChoice } from "./host.ts"
import { Seat } from "./pool.ts"
import type { Source } from "./source.ts"
import { batchOf } from "./together.ts"
import { nextTurn } from "./turn.ts"

/** The best `count` of the beams of a prompt. The weights do not move meanwhile; where a device is lost,
 *  it begins again once. */
export async function searchBeams(
  source: Source,
  request: Request,
  how: Required<BeamOptions>,
  count: number,
): Promise<readonly Finished[]> {
  if (request.options.maxNewTokens === 0) return Array(count).fill({ tokens: [], score: 0 })
  const search = () => source.residence.during(() => searched(source, request, how, count))
  const run = () => source.usage.reading(search)
  return run().catch((error: unknown) => {
    if (error instanceof DeviceLostError) return run()
    throw error
  })
}

async function searched(
  source: Source,
  request: Request,
  how: Required<BeamOptions>,
  count: number,
): Promise<readonly Finished[]> {
  const { prompt, options } = request
  const { signal } = options
  const search = new BeamSearch(prompt, options, options.host as HostChoice, how)
  const seat = new Seat(source.pool)
  try {
    const batch = batchOf(source, seat, how.numBeams, [{ request }])
    batch.begin(source.residence.lost)
    const first = await batch.read(0, prompt)
    let rows: Float32Array[] = Array(how.numBeams).fill(first)
    let from = search.step(rows).fill(0)
    while (!search.isDone) {
      await batch.copy(from)
      rows = await rowsOf(batch, search.last)
      from = search.step(rows)
      await nextTurn()
      signal?.throwIfAborted()
    }
  } finally {
    seat.leave()
  }
  return search.best(count)
}

/** The logits after a token of each sequence. */
async function rowsOf(batch: Batch, tokens: Int32Array): Promise<Float32Array[]> {
  const all = await batch.logits(tokens)
  const V = all.length / batch.size
  return Array.from({ length: batch.size }, (_, i) => all.subarray(i * V, (i + 1) * V))
}
