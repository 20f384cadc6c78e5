// A generation from its first token to its last, whatever happens to the model meanwhile: weights that
// move, a device that is lost, an end that nobody waits for.
import { DeviceLostError } from "../../engine/index.ts"
import type { Request } from "./completion.ts"
import { runDrafted } from "./drafted.ts"
import { openDrafter } from "./drafters.ts"
import { type Begun, run, type Token } from "./generate.ts"
import { runOnHost } from "./host.ts"
import { Seat } from "./pool.ts"
import type { KeptSequence } from "./prompt_cache.ts"
import type { Session } from "./session.ts"
import { type Source, sessionOf } from "./source.ts"
import { before } from "./stop.ts"

type Tokens = AsyncGenerator<Token, void, undefined>

/** What makes a request: it may have to read of what. */
type Ask = () => Request | Promise<Request>

/** The tokens that `ask`, which may throw, asks for. Their session is given back at the end, and when
 *  the stream is left and forgotten. */
export function stream(source: Source, ask: Ask): Tokens {
  const seat = new Seat(source.pool)
  const tokens = asked(source, ask, seat)
  seat.watch(tokens)
  return tokens
}

/** All that a request asks for, stop texts and what follows them among it. */
export async function* wholeStream(source: Source, request: Request): Tokens {
  const seat = new Seat(source.pool)
  try {
    yield* whole(source, request, seat)
  } finally {
    seat.leave()
  }
}

async function* asked(source: Source, ask: Ask, seat: Seat): Tokens {
  source.usage.check()
  const made = ask()
  const request = made instanceof Promise ? await made : made
  const { stopTexts } = request.options
  const tokens = whole(source, request, seat)
  try {
    yield* stopTexts.length > 0 ? before(tokens, stopTexts) : tokens
  } finally {
    seat.end()
  }
}

/** Begins again after the tokens that it has yielded when the weights have moved or a device is lost;
 *  lost twice at the same token, it gives up. */
async function* whole(source: Source, request: Request, seat: Seat): Tokens {
  const yielded: number[] = []
  for (let [again, lostAt] = [true, -1]; again; ) {
    try {
      again = yield* part(source, request, yielded, seat)
    } catch (error) {
      if (!(error instanceof DeviceLostError) || lostAt === yielded.length) throw error
      lostAt = yielded.length
    }
  }
}

/** Goes on after `yielded`, to which it adds. Returns true where the weights have moved since. */
async function* part(
  source: Source,
  { prompt, options, textOf, promptCache }: Request,
  yielded: number[],
  seat: Seat,
): AsyncGenerator<Token, boolean, undefined> {
  const { usage, residence } = source
  let inUse: KeptSequence | undefined
  const begin = async () => {
    await residence.restored()
    const ids = [...prompt, ...yielded]
    const own = () => sessionOf(source, (kind, open) => seat.take(kind, open))
    const { session, ...there } = promptCache?.begin(ids, options.overflow) ?? opened(own())
    const maxNewTokens = options.maxNewTokens - yielded.length
    inUse = promptCache
    const { lost } = residence
    const begun = { ...options, maxNewTokens, lost, promptLength: prompt.length, ...there }
    const tokens = await tokensOf(source, session, ids, { options: begun, textOf }, seat)
    // The first in the same use, so that there is one however often the weights move.
    return { session, tokens, writes: usage.writes, first: await tokens.next() }
  }
  try {
    const { session, tokens, writes, first } = await usage.reading(begin)
    const next = async () => (usage.writes === writes ? tokens.next() : undefined)
    let token: IteratorResult<Token, void> | undefined = first
    while (token && !token.done) {
      inUse?.chosen(token.value.id)
      yielded.push(token.value.id)
      yield token.value
      session.check()
      token = await usage.reading(next)
    }
    return token === undefined
  } finally {
    inUse?.end()
    seat.leave()
  }
}

/** A session that has read nothing yet. */
const opened = (session: Session) => ({ session, from: 0, dropped: 0 })

/** Chosen on the device where that can be, on the host, or guessed before. */
async function tokensOf(
  source: Source,
  session: Session,
  ids: readonly number[],
  { options, textOf }: { readonly options: Begun; readonly textOf: Request["textOf"] },
  seat: Seat,
): Promise<Tokens> {
  const { host, draft } = options
  if (!host) return run(session, ids, options, textOf)
  if (!draft) return runOnHost(session, ids, options, host, textOf)
  const drafter = await openDrafter(draft, source, seat, options, host)
  return runDrafted(session, ids, options, host, textOf, drafter, draft.onRound)
}
