// Sizes that the backend and its kernels agree on (thread.as.ts).

/** Bytes of scratch memory of each thread. */
export const scratchBytes = 1 << 20
