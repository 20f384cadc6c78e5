// What one thread owns: its number and its scratch memory. Each thread has its own instance, so
// these globals are private to it.

/** Bytes of scratch memory of each thread. */
export const scratchBytes: u32 = 1 << 20

let scratchAddress: usize = 0

/** Address of this thread's scratch memory, 64-byte aligned. */
// @ts-ignore: decorator
@inline
export function scratch(): usize {
  return scratchAddress
}

/** Called once by the thread's owner before any kernel runs. */
export function setScratch(address: usize): void {
  scratchAddress = address
}
