// Examples before a question: which documents they are, and the text that they make.  The original's
// ContextSampler: its draws depend on nothing but the pool's size and on how many documents went before.
import { PythonRandom } from "../model/python/random.ts"
import type { Item } from "./data/documents.ts"
import type { Document, Task } from "./types.ts"

const seed = 1234

/** What a document's context begins with, for each in order: every one is to be taken, since each advances
 *  the generator. Throws RangeError where the pool has too few. */
export function* leadsOf(
  task: Task,
  items: readonly Item[],
  pool: readonly Item[],
  shots: number,
): Generator<string> {
  const { shotDelimiter = "\n\n", sampler = "default" } = task
  const { fewshot, test } = task.source.splits
  // The original draws one more where both are the same: also where neither is set.
  const count = fewshot === test ? shots + 1 : shots
  checkPool(task, pool, shots, count)
  const random = new PythonRandom(seed)
  for (const item of items) {
    const description = task.description?.(item.document) ?? ""
    if (shots === 0) {
      yield description
      continue
    }
    const drawn =
      sampler === "first_n"
        ? Array.from({ length: count }, (_, i) => i)
        : random.sample(pool.length, count)
    const others = drawn.filter((i) => !isSame((pool[i] as Item).row, item.row)).slice(0, shots)
    const examples = others.map((i) => task.example?.((pool[i] as Item).document))
    yield description + examples.join(shotDelimiter) + shotDelimiter
  }
}

function checkPool(task: Task, pool: readonly Item[], shots: number, count: number): void {
  if (shots === 0) return
  if (!task.example) throw new RangeError(`${task.name} takes no examples: its shots must be 0`)
  if (pool.length >= count) return
  throw new RangeError(
    `${task.name} with ${shots} shots draws ${count} examples, of which there are ${pool.length}`,
  )
}

/** Whether two values of JSON are equal. */
function isSame(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== "object" || typeof b !== "object" || !a || !b) return false
  const [keys, others] = [Object.keys(a), Object.keys(b)]
  if (Array.isArray(a) !== Array.isArray(b) || keys.length !== others.length) return false
  return keys.every((key) => isSame((a as Document)[key], (b as Document)[key]))
}
