// Replays a plan on all threads: one fork-join per plan. Every thread walks the same list of steps,
// does its share of each step's rows, and meets the others at a barrier before the next. A waiting
// thread spins for a bounded time, then sleeps in the kernel.
//
// A step is 128 bytes: u32 table index of its kernel, u32 rows, then the kernel's arguments.

import { setWideTiles } from "../../ops/product/matmul.as"
import { probeDot, setDot } from "../../ops/product/quantized_dot.as"

/** Words shared by all threads, each on a cache line of its own, below the module's data. */
const epoch: usize = 1024 // plans started so far; workers wait for it to change
const arrived: usize = 1088 // threads at the barrier
const generation: usize = 1152 // barriers passed so far
const sleepers: usize = 1216 // threads asleep at either word
const job: usize = 1280 // address and number of the steps to run
const failed: usize = 1344 // 1 + number of the thread that failed
const stopping: usize = 1408 // not 0 when workers shall return
const wide: usize = 1472 // not 0 when products use the tile for 256-bit registers
const dot: usize = 1536 // what quantized products take the relaxed dot of bytes to be
const crowded: usize = 1600 // not 0 when there are more threads than cores

const stepBytes: usize = 128
/** Loads before a thread goes to sleep: about 0.1 ms inside a plan, 0.3 ms between plans. */
const barrierSpins: u32 = 60000
const idleSpins: u32 = 200000
/** Nanoseconds of sleep after which a thread looks whether another has failed: inside a plan, and
 *  between plans, where whoever fails wakes it. */
const nap: i64 = 100000000
const longNap: i64 = 2000000000
/** Naps at one barrier after which whoever is missing counts as dead: 60 seconds. */
const patience: u32 = 600
/** Naps at one barrier after which the system is asked whether all threads still exist: a second. */
const doubt: u32 = 10
/** In place of a thread's number where it is not known which one failed. */
const unknown: u32 = 256

/** 1 + the number of a thread that no longer exists; 0 where none is missing, or nobody knows. */
// @ts-ignore: decorator
@external("env", "missing")
declare function missing(): i32

/** Waits until the word at `address` is no longer `old`; false when a thread has failed. With
 *  `bounded`, a word that stays the same for too long is a failure too. */
function waitWhile(address: usize, old: i32, spins: u32, bounded: bool): bool {
  // Whoever spins keeps a core from those that it waits for, where there is none to spare.
  const most: u32 = load<u32>(crowded) != 0 ? 1 : spins
  for (let i: u32 = 0; i < most; i++) {
    if (atomic.load<i32>(address) != old) return true
  }
  const rest = bounded ? nap : longNap
  let naps: u32 = 0
  atomic.add<i32>(sleepers, 1)
  while (atomic.load<i32>(address) == old && atomic.load<i32>(failed) == 0) {
    // 2: the time ran out.
    if (atomic.wait<i32>(address, old, rest) != 2 || !bounded) continue
    naps++
    const gone = naps % doubt == 0 ? missing() : 0
    if (gone != 0) fail(gone - 1)
    else if (naps == patience) fail(unknown)
  }
  atomic.sub<i32>(sleepers, 1)
  return atomic.load<i32>(address) != old
}

/** Changes the word and wakes whoever sleeps on it. */
function advance(address: usize): void {
  atomic.add<i32>(address, 1)
  if (atomic.load<i32>(sleepers) > 0) atomic.notify(address, -1)
}

function barrier(threads: u32): bool {
  const now = atomic.load<i32>(generation)
  if (<u32>atomic.add<i32>(arrived, 1) + 1 == threads) {
    atomic.store<i32>(arrived, 0)
    advance(generation)
    return true
  }
  return waitWhile(generation, now, barrierSpins, true)
}

function runSteps(steps: usize, count: u32, thread: u32, threads: u32): bool {
  setWideTiles(load<u32>(wide))
  setDot(load<u32>(dot))
  for (let i: u32 = 0; i < count; i++) {
    const step = steps + i * stepBytes
    const rows = load<u32>(step, 4)
    const begin = <u32>((<u64>rows * thread) / threads)
    const end = <u32>((<u64>rows * (thread + 1)) / threads)
    if (begin < end) call_indirect<void>(load<u32>(step), step, begin, end)
    if (threads > 1 && !barrier(threads)) return false
  }
  return true
}

/** Runs the steps on all threads and returns when the last has finished: 0, or 1 + failed thread. */
export function runPlan(steps: usize, count: u32, threads: u32): i32 {
  if (threads > 1) {
    store<u32>(job, <u32>steps)
    store<u32>(job, count, 4)
    advance(epoch)
  }
  runSteps(steps, count, 0, threads)
  return threads > 1 ? atomic.load<i32>(failed) : 0
}

/** A worker's life: waits for plans and runs its share of each until stopped. */
export function serve(thread: u32, threads: u32, startEpoch: i32): void {
  let seen = startEpoch
  while (true) {
    while (!waitWhile(epoch, seen, idleSpins, false)) {
      if (atomic.load<i32>(failed) != 0) return
    }
    seen++
    if (atomic.load<i32>(stopping) != 0) return
    if (!runSteps(load<u32>(job), load<u32>(job, 4), thread, threads)) return
  }
}

/** Which tile products use from the next plan on. */
export function useWideTiles(on: u32): void {
  store<u32>(wide, on)
}

/** Whether there are more threads than cores. */
export function useCrowded(on: u32): void {
  store<u32>(crowded, on)
}

/** Whether quantized products use the relaxed dot of bytes, as far as this machine has it. */
export function useRelaxedDot(on: u32): void {
  store<u32>(dot, on ? probeDot() : 0)
}

/** Tells workers to return, and wakes them. */
export function stop(): void {
  atomic.store<i32>(stopping, 1)
  advance(epoch)
}

/** Marks a thread as failed; whoever waits for it gives up. */
export function fail(thread: u32): void {
  atomic.store<i32>(failed, <i32>thread + 1)
  atomic.notify(generation, -1)
  atomic.notify(epoch, -1)
}
