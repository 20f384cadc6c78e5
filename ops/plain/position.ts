// Where a sequence stands, kept on the device: no run needs it from its caller.
import { op } from "../../engine/index.ts"

/** After a run: the next run reads the token that this one chose, and chooses the one after it.
 *  last' = next, next' = next + 1, in place.  position (B), next (B) → last (B), after (B) */
export const advance = op({
  name: "advance",
  sig: "position:i32(B) next:i32(B) -> last:i32(B) after:i32(B)",
  params: "B",
  alias: { last: "position", after: "next" },
  compute({ next, last, after }, { B }) {
    for (let b = 0; b < B; b++) {
      last[b] = next[b] as number
      after[b] = (next[b] as number) + 1
    }
  },
  vjp: () => ({}),
  gpu: [{ from: ["plain/position.wgsl"] }],
  rows: () => 1,
  cost: ({ B }) => ({ bytes: 16 * B, flops: B }),
  cases: [{ B: 1 }, { B: 3 }],
  sample: (name) => (i) => (name === "next" ? 7 + i : i),
})

/** Positions of T tokens of each sequence, as rows of a table that begins with `Offset` others.
 *  position (B) → ids (B·T) */
export const positionIds = op({
  name: "positionIds",
  sig: "position:i32(B) -> ids:i32(B*T)",
  params: "B T Offset",
  compute({ position, ids }, { B, T, Offset }) {
    for (let n = 0; n < B * T; n++)
      ids[n] = (position[Math.floor(n / T)] as number) + (n % T) + Offset
  },
  vjp: () => ({}),
  gpu: [{ from: ["plain/position.wgsl"] }],
  rows: () => 1,
  cost: ({ B, T }) => ({ bytes: 4 * B * (T + 1), flops: 2 * B * T }),
  cases: [
    { B: 1, T: 1, Offset: 2 },
    { B: 3, T: 70, Offset: 0 },
  ],
  sample: () => (i) => 5 * i,
})
