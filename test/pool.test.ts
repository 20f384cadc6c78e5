// What waits for the next generation: how many, how long, and how much memory at most.
import { setTimeout as sleep } from "node:timers/promises"
import { Pool } from "../model/generate/pool.ts"
import t from "./tap.ts"

/** Things that a pool keeps, of so many bytes each, and the numbers of those that were closed. */
function numbered(bytes: number) {
  const closed: number[] = []
  let opened = 0
  const open = () => {
    const number = opened++
    return { number, bytes, stop() {}, close: () => void closed.push(number) }
  }
  return { closed, open }
}

t.test("sessions that wait too long are freed", async (t) => {
  const { closed, open } = numbered(10)
  const pool = new Pool({ idleMs: 20 })
  const sessions = Array.from({ length: 6 }, () => pool.acquire("session", open))
  for (const session of sessions.slice(0, 5)) pool.release(session)
  t.same(closed, [0, 1, 2, 3], "as many wait as are in use")
  t.equal(pool.acquire("session", open), sessions[4], "and are used again")
  pool.release(sessions[4] as (typeof sessions)[0])
  await sleep(60)
  t.same(closed, [0, 1, 2, 3, 4])
  pool.release(sessions[5] as (typeof sessions)[0])
  pool.close()
  t.same(closed, [0, 1, 2, 3, 4, 5])
})

t.test("what waits is bounded in bytes: the least recently used leaves", (t) => {
  const { closed, open } = numbered(10)
  const pool = new Pool({ idleBytes: 25 })
  const use = (kind: string): number => {
    const kept = pool.acquire(kind, open)
    pool.release(kept)
    return kept.number
  }
  t.same(["a", "b", "a", "c"].map(use), [0, 1, 0, 2], "one of its kind is used again")
  t.same(closed, [1], "of three, the one used least recently is freed")
  t.equal(use("b"), 3)
  t.same(closed, [1, 0])
  const small = new Pool({ idleBytes: 5 })
  const kept = small.acquire("a", open)
  small.release(kept)
  t.equal(small.acquire("a", open), kept, "the last one stays, however large")
  pool.close()
  small.close()
  t.same(closed, [1, 0, 2, 3, 4])
  t.end()
})
