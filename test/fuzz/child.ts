// A process that tries cases: child.js FOLDER SEED FROM TO. Says of each that it begins, and how it
// ended: the parent knows which one it was that took the process with it, or all of its time.
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs"
import { basename, join } from "node:path"
import type { Kind } from "./kind.ts"
import { filesIn, kinds } from "./kinds.ts"
import { mutated } from "./mutate.ts"

const [folder = "", seed = "0", from = "0", to = "0"] = process.argv.slice(2)

const say = (line: object): void => {
  writeSync(1, `${JSON.stringify(line)}\n`)
}

/** What engines say when something inside went wrong: such a message explains nothing to anybody. */
const inside =
  /Cannot (read|set|convert|destructure)|is not (a function|iterable|defined|a constructor)|Invalid (array|typed array|string) length|Maximum call stack|[Oo]ffset is out|out of bounds|undefined is|is not valid JSON$|Array buffer allocation|Reduce of empty/

/** What is unclear in an error's message; "" where nothing is. */
function unclear(error: unknown, kind: Kind, file: string): string {
  if (!(error instanceof Error)) return `throws ${typeof error}`
  const { message } = error
  if (inside.test(message)) return `from inside: ${message}`
  if (message.length > 2000) return `${message.length} characters`
  if (/(?![\n\t])\p{Cc}/u.test(message)) return `control characters: ${JSON.stringify(message)}`
  // An epoch without samples, and a model that is whole but whose numbers are not, concern no one file.
  const isOfMany = /an epoch of the data has no sample|the logits|data: tokenizer is missing/.test(
    message,
  )
  const named = ["/case/", basename(file), ...kind.files.map((name) => basename(name)), "state:"]
  if (!isOfMany && !named.some((name) => message.includes(name))) return `names no file: ${message}`
  return ""
}

const bases = new Map<string, string>()
async function baseOf(kind: Kind): Promise<string> {
  const base = join(folder, `base-${kind.name}`)
  if (!bases.has(kind.name)) {
    rmSync(base, { recursive: true, force: true })
    mkdirSync(base, { recursive: true })
    await kind.make(base)
    if (kind.name !== "lock") await kind.use(base)
    bases.set(kind.name, base)
  }
  return base
}

async function run(n: number): Promise<void> {
  const kind = kinds[n % kinds.length] as Kind
  const base = await baseOf(kind)
  const at = join(folder, "case")
  rmSync(at, { recursive: true, force: true })
  cpSync(base, at, { recursive: true })
  const file = kind.files[Math.floor(n / kinds.length) % kind.files.length] as string
  const other = kinds[(n * 7 + 3) % kinds.length] as Kind
  const others = join(await baseOf(other), other.files[0] as string)
  const bytes = mutated(readFileSync(join(at, file)), readFileSync(others), Number(seed) + n)
  writeFileSync(join(at, file), bytes)
  const before = filesIn(folder).length
  say({ begin: n, kind: kind.name, file })
  let [outcome, problem] = ["used", ""]
  try {
    await kind.use(at)
  } catch (error) {
    outcome = "refused"
    problem = unclear(error, kind, file)
  }
  const grown = filesIn(folder).length - before
  if (problem === "" && grown > 0) problem = `${grown} more files`
  say({ end: n, outcome: problem ? "unclear" : outcome, problem })
}

for (let n = Number(from); n < Number(to); n++) await run(n)
say({ done: true })
process.exit(0)
