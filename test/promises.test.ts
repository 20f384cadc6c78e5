// The check for promises that nobody waits for, on planted ones.
import { join } from "node:path"
import ts from "typescript"
import { floatingPromises } from "../build/promises.ts"
import t from "./tap.ts"

const code = `
interface Reader { read(): Promise<void>; maybe(): void | Promise<void>; plain(): number }
declare const reader: Reader
declare const all: Map<string, Reader>
declare const made: <T>(of: T) => Promise<T>
export async function planted() {
  reader.read()
  reader.maybe()
  for (const each of all.values()) each.read()
  made(3)
  reader.read().then(() => 1)
  reader.read().finally(() => 1)
  new Promise(() => 1)
  all.get("a")?.read()
}
let kept: Promise<void> | undefined
export async function kept_or_awaited() {
  await reader.read()
  void reader.read()
  kept = reader.read()
  kept ??= reader.read()
  reader.read().catch(() => 1)
  reader.read().then(() => 1, () => 2)
  reader.plain()
  await Promise.all([...all.values()].map((each) => each.read()))
  return kept
}
`

t.test("every planted promise is found, and nothing else", (t) => {
  const path = join(t.testdir({ "code.ts": code }), "code.ts")
  const options: ts.CompilerOptions = {
    target: ts.ScriptTarget.ES2023,
    lib: ["lib.es2023.d.ts"],
    strict: true,
    types: [],
  }
  const found = floatingPromises(ts.createProgram([path], options))
  t.same(
    found.map((each) => Number(/code\.ts:(\d+): /.exec(each)?.[1])),
    [7, 8, 9, 10, 11, 12, 13, 14],
  )
  t.end()
})
