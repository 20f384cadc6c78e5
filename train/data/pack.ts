// Packed samples: the tokens of all documents, each between BOS and EOS, one after the other in
// full windows, so that none is padding. Every token is an input once and, but for the first of each
// document, a target once; documents do not see each other (`starts`), and the step from an EOS to
// the next BOS carries no loss. Windows are shuffled some at a time. A document that is cut, at a
// window or where it is shared out, goes on without BOS.
import type { Tokenizer } from "../../model/index.ts"
import { PythonRandom } from "../../model/python/random.ts"
import type { DataConfig } from "./config.ts"
import { normalizerOf } from "./normalize.ts"
import { cleanedLength } from "./pieces.ts"
import {
  countSkips,
  isFirst,
  type Placed,
  refuseEmpty,
  type Sample,
  type WorkerState,
} from "./samples.ts"
import { type PieceAt, type Position, type Share, walk } from "./walk.ts"

/** A place between two tokens: so many after the beginning of a piece's. */
interface Cursor {
  readonly position: Position
  readonly offset: number
  /** Skips up to there. */
  readonly skipped: number
}

/** Tokens of one piece, or what a resumed run still needs of them. */
interface TokenRun {
  readonly ids: readonly number[]
  readonly isStart: boolean
  readonly begin: Cursor
}

interface Window {
  readonly sample: Sample
  readonly begin: Cursor
}

/** The samples of a share from a place on, block by block: a block is read whole, then shuffled. */
export async function* packedSamples(
  config: DataConfig,
  tokenizer: Tokenizer,
  share: Share,
  from: WorkerState,
): AsyncGenerator<Placed> {
  const size = config.shuffleWindows
  const all = windowsOf(config, tokenizer, share, from)
  let block = await take(all, size)
  let before = from.taken ?? 0
  for (let number = from.block ?? 0; block.length > 0; number++) {
    const next: Window[] = []
    const order = shuffled(config, share, number, block.length)
    const { position, offset, skipped } = (block[0] as Window).begin
    for (const [i, at] of order.entries()) {
      // One window of the next block for each of this one: no pause between blocks.
      if (block.length === size) next.push(...(await take(all, 1)))
      if (i < before) continue
      const { sample } = block[at] as Window
      yield [sample, { position, offset, skipped, block: number, taken: i + 1 }]
    }
    block = next
    before = 0
  }
}

async function take(all: AsyncGenerator<Window>, count: number): Promise<Window[]> {
  const taken: Window[] = []
  while (taken.length < count) {
    const { value, done } = await all.next()
    if (done) break
    taken.push(value)
  }
  return taken
}

/** The order of a block: its own for every seed, worker and block. */
function shuffled(config: DataConfig, share: Share, number: number, length: number): number[] {
  const order = Array.from({ length }, (_, i) => i)
  if (share.split === "validation" || config.shuffleWindows === 1) return order
  const seed = Math.abs(config.seed)
  const key = [seed % 2 ** 32, Math.floor(seed / 2 ** 32), share.rank, number]
  new PythonRandom(key).shuffle(order)
  return order
}

// ---- Windows --------------------------------------------------------------------------------------

/** Windows in the order of the data; the last of one pass may end in padding. */
async function* windowsOf(
  config: DataConfig,
  tokenizer: Tokenizer,
  share: Share,
  from: WorkerState,
): AsyncGenerator<Window> {
  const { sequenceLength: T } = config
  const ids = new Int32Array(T + 1)
  const starts = new Int32Array(T + 1)
  let filled = 0
  let start = 0
  let begin: Cursor | undefined
  for await (const run of runsOf(config, tokenizer, share, from)) {
    for (let at = 0; at < run.ids.length; ) {
      begin ??= run.begin
      if (at === 0 && run.isStart) start = filled
      const count = Math.min(T + 1 - filled, run.ids.length - at)
      for (let i = 0; i < count; i++) ids[filled + i] = run.ids[at + i] as number
      starts.fill(start, filled, filled + count)
      filled += count
      at += count
      if (filled <= T) continue
      yield { sample: sampleOf(ids, starts, T + 1, tokenizer.padId), begin }
      // The last token was only a target: it is the next window's first input.
      ids[0] = ids[T] as number
      filled = 1
      start = 0
      begin = { ...run.begin, offset: run.begin.offset + at - 1 }
    }
  }
  if (begin && filled > 1) yield { sample: sampleOf(ids, starts, filled, tokenizer.padId), begin }
}

function sampleOf(ids: Int32Array, starts: Int32Array, filled: number, padId: number): Sample {
  const T = ids.length - 1
  const inputs = ids.slice(0, T).fill(padId, filled)
  const targets = ids.slice(1).fill(padId, filled - 1)
  for (let t = 0; t < filled - 1; t++) if (starts[t + 1] === t + 1) targets[t] = padId
  return { inputs, targets, starts: starts.slice(0, T).fill(filled, filled) }
}

// ---- Tokens ---------------------------------------------------------------------------------------

/** The tokens of the share from a place on; documents below the limits are left out. */
async function* runsOf(
  config: DataConfig,
  tokenizer: Tokenizer,
  share: Share,
  from: WorkerState,
): AsyncGenerator<TokenRun> {
  const { minCharacters, minTokens } = config
  const tokensOf = tokensOfPiece(config, tokenizer)
  let { skipped } = from
  let drop = from.offset ?? 0
  let isEmpty = drop === 0 && isFirst(from.position)
  // A place in the middle of a document is only reached if the document is long enough.
  let isLong = drop > 0 || from.position.piece > 0
  let held: TokenRun[] = []
  let characters = 0
  let tokens = 0
  for await (const step of walk(
    config,
    countSkips(share, () => skipped++),
    from.position,
  )) {
    if (step === null) {
      if (isEmpty) refuseEmpty(config, share)
      isEmpty = true
      continue
    }
    if (step.isStart && drop === 0) {
      // What is left of a document that was shared out is long.
      isLong = step.piece > 0
      held = []
      characters = 0
      tokens = 0
    }
    const ids = tokensOf(step)
    const begin = { position: step.at, offset: drop, skipped }
    const run = {
      ids: drop > 0 ? ids.slice(drop) : ids,
      isStart: step.isStart && drop === 0,
      begin,
    }
    drop = 0
    if (!isLong) {
      characters += cleanedLength(step.text, minCharacters)
      tokens += ids.length
      held.push(run)
      if (characters < minCharacters || tokens < minTokens) continue
      isLong = true
      yield* held
    } else {
      yield run
    }
    if (run.ids.length > 0) isEmpty = false
  }
}

/** Tokens of a piece, with BOS where its document begins and EOS where it ends. */
function tokensOfPiece(config: DataConfig, tokenizer: Tokenizer): (step: PieceAt) => number[] {
  const normalize = normalizerOf(config.normalization)
  const { encode, decode } = tokenizer
  // Between pieces was a space: most tokenizers begin a text with one of their own accord.
  const addsSpace = decode([...encode("a"), ...encode("b")]) === "a b"
  return ({ text, piece, last }) => {
    const isFirst = piece === 0
    if (isFirst && last && text === "") return []
    const joined = isFirst || addsSpace ? text : ` ${text}`
    return encode(normalize(joined), { bos: isFirst && tokenizer.bosId >= 0, eos: last })
  }
}
