// Processes that work each for itself: they hear of each other meanwhile, so that one that has less to do waits
// for the others without being taken for one that hangs, and the first knows how far all are.
import { type Communicator, gatherNumbers } from "../../train/parallel/communicator.ts"

/** Milliseconds to the next beat: soon at first, since there may be little to do. */
const pauses = [50, 100, 200, 400, 800, 1600, 3200] as const

/** What `work` comes to, once that of all ranks has ended. `own` says how far this one is, `onBeat` is called with
 *  what all have said. */
export async function withBeats(
  ranks: Communicator,
  work: Promise<void>,
  own: () => number,
  onBeat: (all: readonly number[]) => void,
): Promise<void> {
  if (ranks.size === 1) return work
  let isOver = false
  const ended = work.then(() => {
    isOver = true
  })
  for (let beat = 0; ; beat++) {
    const heard = gatherNumbers(ranks, [own(), Number(isOver)])
    // Where this one fails, it says so at once.
    const all = await Promise.race([heard, ended.then(() => heard)])
    onBeat(all.map(([done = 0]) => done))
    if (all.every(([, over]) => over === 1)) return
    const pause = pauseOf(beat)
    await (isOver ? pause.over : Promise.race([pause.over, ended]).finally(pause.stop))
  }
}

function pauseOf(beat: number): { readonly over: Promise<void>; stop(): void } {
  let stop = (): void => {}
  const over = new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, pauses[Math.min(beat, pauses.length - 1)])
    stop = () => clearTimeout(timer)
  })
  return { over, stop }
}
