// Reads pickles of protocols 2 to 4 without running any: a machine that knows the plain values, and calls
// only what it is given by name. Whatever else a pickle asks for is refused before it means anything.
import { printable } from "../../printable.ts"

/** A plain value, or what `Callables` made. Dicts are maps, tuples and lists are arrays. */
export type Value =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | Value[]
  | Map<Value, Value>
  | Callable
  | object

/** What a pickle may name. A call is given its arguments; `build` the state of what was made. */
export interface Callable {
  readonly named: string
  readonly call?: (args: readonly Value[]) => Value
}

export interface Allowed {
  /** What stands for `module.name`; undefined where that is not allowed. */
  callable(module: string, name: string): Callable | undefined
  /** What a persistent id stands for. */
  persistent(id: Value): Value
}

/** Whether a value is what `callable` gave. */
const isCallable = (value: Value): value is Callable =>
  typeof value === "object" && value !== null && "named" in value

const longestName = 512
/** Far more than the pickle of any weights has, and few enough for memory: a byte may make a dict. */
const mostCodes = 500_000

interface Machine {
  readonly bytes: Uint8Array
  readonly view: DataView
  at: number
  readonly stack: Value[]
  /** Heights of the stack at its marks. */
  readonly marks: number[]
  readonly memo: Map<number, Value>
  readonly allowed: Allowed
  readonly source: string
}

/**
 * The value of the pickle at `start`, and where it ends. Throws SyntaxError that names `source` for what
 * is damaged, RangeError for what is not allowed.
 */
export function readPickle(
  bytes: Uint8Array,
  start: number,
  allowed: Allowed,
  source: string,
): { value: Value; end: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const m: Machine = {
    ...{ bytes, view, at: start, stack: [], marks: [], memo: new Map() },
    ...{ allowed, source },
  }
  for (let count = 0; ; count++) {
    const at = m.at
    if (count > mostCodes) throw refuse(m, `its pickle has more than ${mostCodes} codes`)
    const code = byte(m)
    if (code === stop) return { value: pop(m), end: m.at }
    const run = codes.get(code)
    if (!run) {
      const name = `0x${code.toString(16).padStart(2, "0")}`
      throw refuse(m, `it has the code ${name} at byte ${at}, which plain data does not need`)
    }
    run(m)
  }
}

// ---- Errors and parts -----------------------------------------------------------------------------

const damaged = ({ source }: Machine, why: string): SyntaxError =>
  new SyntaxError(`${source} is damaged: ${why}. Download or write it again`)

const refuse = ({ source }: Machine, why: string): RangeError =>
  new RangeError(`${source} is refused: ${why}. Nothing of it was run. Do not trust this file`)

function take(m: Machine, length: number): Uint8Array {
  const end = m.at + length
  if (!(end <= m.bytes.length))
    throw damaged(m, `its pickle ends inside of a value at byte ${m.at}`)
  const part = m.bytes.subarray(m.at, end)
  m.at = end
  return part
}

const byte = (m: Machine): number => take(m, 1)[0] as number

/** A place in the bytes where a number of that many lies, which are read then. */
function place(m: Machine, length: number): number {
  take(m, length)
  return m.at - length
}

const u32 = (m: Machine): number => m.view.getUint32(place(m, 4), true)
const u64 = (m: Machine): number => Number(m.view.getBigUint64(place(m, 8), true))

function text(m: Machine, length: number): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(take(m, length))
  } catch (error) {
    if (error instanceof SyntaxError) throw error
    throw damaged(m, `its pickle has a text at byte ${m.at} that is not UTF-8`)
  }
}

/** A text up to the next line break. */
function line(m: Machine): string {
  const end = m.bytes.indexOf(10, m.at)
  if (end < 0 || end - m.at > longestName) throw damaged(m, `a name at byte ${m.at} has no end`)
  const found = text(m, end - m.at)
  m.at++
  return found
}

/** A whole number of that many bytes, the highest bit of which is its sign. */
function long(m: Machine, length: number): number | bigint {
  const digits = take(m, length)
  let value = 0n
  for (const digit of digits.toReversed()) value = value * 256n + BigInt(digit)
  if (length > 0 && (digits[length - 1] as number) >= 128) value -= 1n << BigInt(8 * length)
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}

function pop(m: Machine): Value {
  if (m.stack.length <= (m.marks.at(-1) ?? 0)) {
    throw damaged(m, `its pickle takes from an empty stack before byte ${m.at}`)
  }
  return m.stack.pop() as Value
}

/** Everything above the last mark. */
function popMark(m: Machine): Value[] {
  const height = m.marks.pop()
  if (height === undefined) throw damaged(m, `its pickle has no mark before byte ${m.at}`)
  return m.stack.splice(height)
}

const push = (m: Machine, value: Value): void => void m.stack.push(value)

function top<T>(m: Machine, kind: string, is: (value: Value) => T | undefined): T {
  const height = m.marks.at(-1) ?? 0
  const found = m.stack.length > height ? is(m.stack.at(-1) as Value) : undefined
  if (found === undefined) throw damaged(m, `its pickle has no ${kind} before byte ${m.at}`)
  return found
}

// ---- What codes do --------------------------------------------------------------------------------

function name(m: Machine, module: string, called: string): void {
  const found = m.allowed.callable(module, called)
  if (!found) {
    const asked = printable(`${module}.${called}`.slice(0, 100), "line")
    throw refuse(m, `it asks for ${asked}, which weights do not need`)
  }
  push(m, found)
}

function nameOfStack(m: Machine): void {
  const [called, module] = [pop(m), pop(m)]
  if (typeof called !== "string" || typeof module !== "string") {
    throw damaged(m, "its pickle names something by what is no text")
  }
  name(m, module, called)
}

function reduce(m: Machine): void {
  const [args, callable] = [pop(m), pop(m)]
  if (!isCallable(callable) || !callable.call || !Array.isArray(args)) {
    const what = isCallable(callable) ? callable.named : "what is no function"
    throw refuse(m, `it calls ${what}`)
  }
  push(m, callable.call(args))
}

/** State is only ever given to dicts: the versions that modules leave there, which say nothing here. */
function build(m: Machine): void {
  pop(m)
  top(m, "dict to give a state", asMap)
}

const asMap = (value: Value) => (value instanceof Map ? value : undefined)
const asList = (value: Value) => (Array.isArray(value) ? value : undefined)

function setItems(m: Machine, items: readonly Value[]): void {
  const dict = top(m, "dict", asMap)
  if (items.length % 2 !== 0) throw damaged(m, `its pickle has a key without a value, byte ${m.at}`)
  for (let i = 0; i < items.length; i += 2) dict.set(items[i] as Value, items[i + 1] as Value)
}

function remember(m: Machine, key: number): void {
  m.memo.set(key, top(m, "value", (value) => ({ value })).value)
}

function recall(m: Machine, key: number): void {
  const found = m.memo.get(key)
  if (found === undefined) throw damaged(m, `its pickle recalls value ${key}, which there is not`)
  push(m, found)
}

function protocol(m: Machine): void {
  const version = byte(m)
  if (version >= 2 && version <= 4) return
  throw refuse(m, `its pickle is of protocol ${version}, expected 2, 3 or 4`)
}

const tuple = (m: Machine, count: number): void =>
  push(m, Array.from({ length: count }, () => pop(m)).reverse())

const stop = 0x2e

const codes: ReadonlyMap<number, (m: Machine) => void> = new Map(
  Object.entries<(m: Machine) => void>({
    "\x80": protocol,
    // Frames only say how much to read ahead.
    "\x95": (m) => void take(m, 8),
    "(": (m) => void m.marks.push(m.stack.length),
    "0": (m) => void pop(m),
    "1": (m) => void popMark(m),
    "2": (m) => push(m, top(m, "value", (value) => [value])[0] as Value),
    N: (m) => push(m, null),
    "\x88": (m) => push(m, true),
    "\x89": (m) => push(m, false),
    J: (m) => push(m, m.view.getInt32(place(m, 4), true)),
    K: (m) => push(m, byte(m)),
    M: (m) => push(m, m.view.getUint16(place(m, 2), true)),
    "\x8a": (m) => push(m, long(m, byte(m))),
    G: (m) => push(m, m.view.getFloat64(place(m, 8), false)),
    X: (m) => push(m, text(m, u32(m))),
    "\x8c": (m) => push(m, text(m, byte(m))),
    "\x8d": (m) => push(m, text(m, u64(m))),
    T: (m) => push(m, text(m, u32(m))),
    U: (m) => push(m, text(m, byte(m))),
    B: (m) => push(m, take(m, u32(m))),
    C: (m) => push(m, take(m, byte(m))),
    "\x8e": (m) => push(m, take(m, u64(m))),
    "}": (m) => push(m, new Map()),
    "]": (m) => push(m, []),
    ")": (m) => push(m, []),
    "\x85": (m) => tuple(m, 1),
    "\x86": (m) => tuple(m, 2),
    "\x87": (m) => tuple(m, 3),
    t: (m) => push(m, popMark(m)),
    a: (m) => {
      const item = pop(m)
      top(m, "list", asList).push(item)
    },
    e: (m) => {
      const items = popMark(m)
      const list = top(m, "list", asList)
      for (const item of items) list.push(item)
    },
    s: (m) => {
      const [value, key] = [pop(m), pop(m)]
      setItems(m, [key, value])
    },
    u: (m) => setItems(m, popMark(m)),
    q: (m) => remember(m, byte(m)),
    r: (m) => remember(m, u32(m)),
    "\x94": (m) => remember(m, m.memo.size),
    h: (m) => recall(m, byte(m)),
    j: (m) => recall(m, u32(m)),
    c: (m) => name(m, line(m), line(m)),
    "\x93": nameOfStack,
    R: reduce,
    b: build,
    Q: (m) => push(m, m.allowed.persistent(pop(m))),
  }).map(([code, run]) => [code.charCodeAt(0), run]),
)
