// Plain ops that draw random numbers: a number depends on seed, stream and its own index, so every
// backend and every number of threads draws the same (engine/random.ts).
import { normalAt, op, uniformAt } from "../../engine/index.ts"

/** u[n, k] uniform in (0, 1), from row n's seed and stream alone.  seed (N), stream (N) → u (N, K) */
export const randomUniform = op({
  name: "randomUniform",
  sig: "seed:i32(N) stream:i32(N) -> u:(N,K)",
  params: "N K",
  compute({ seed, stream, u }, { N, K }) {
    for (let n = 0; n < N; n++) {
      for (let k = 0; k < K; k++) {
        u[n * K + k] = uniformAt(seed[n] as number, stream[n] as number, 0, k)
      }
    }
  },
  vjp: () => ({}),
  gpu: [{ from: ["plain/random.wgsl"] }],
  rows: ({ N }) => N,
  cost: ({ N, K }) => ({ bytes: 4 * N * K, flops: 0 }),
  cases: [
    { N: 1, K: 4099 },
    { N: 3, K: 31 },
  ],
  sample: () => (i) => 7 + 1000 * i,
})

/** z[n, k] normal with mean 0 and standard deviation std, N (0, std²).  → z (N, K) */
export const randomNormal = op({
  name: "randomNormal",
  sig: " -> z:(N,K)",
  params: "N K Seed Stream std",
  compute({ z }, { N, K, Seed, Stream, std }) {
    for (let n = 0; n < N; n++) {
      for (let k = 0; k < K; k++) z[n * K + k] = std * normalAt(Seed, Stream, n, k)
    }
  },
  vjp: () => ({}),
  gpu: [{ from: ["plain/random.wgsl"] }],
  rows: ({ N }) => N,
  cost: ({ N, K }) => ({ bytes: 4 * N * K, flops: 0 }),
  cases: [
    { N: 3, K: 31, Seed: 5, Stream: 2, std: 0.5 },
    { N: 1, K: 4099, Seed: 0, Stream: 0, std: 1 },
    { N: 17, K: 64, Seed: 4294967295, Stream: 9, std: 2 },
  ],
})

export const randomOps = [randomUniform.op, randomNormal.op]
