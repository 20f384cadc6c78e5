// A plan as text: one line per step, for people.
import type { Place } from "./place.ts"
import type { Plan } from "./plan.ts"

export function printPlan({ steps, arenaBytes }: Plan): string {
  const width = Math.max(0, ...steps.map((s) => s.op.name.length))
  const lines = steps.map(({ op, inputs, outputs }, i) => {
    const [from, to] = [inputs, outputs].map((places) => places.map(show).join(" "))
    return `${String(i).padStart(4)}  ${op.name.padEnd(width)}  ${from} -> ${to}`
  })
  return [`${steps.length} steps, arena ${arenaBytes} bytes`, ...lines].join("\n")
}

/** Arena offset as @, bound memory as !, constants as #. */
function show({ tensor, storage, offset }: Place): string {
  const at = { arena: `@${storage.arenaOffset}`, bound: `!${offset}`, constant: "#" }[storage.kind]
  return `${tensor}${at}`
}
