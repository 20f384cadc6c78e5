// The folder of a run while a process works in it. All that is not finished lies in a folder of its
// own there, `.elm-run`, beside a lock that says whose it is: what is removed is only what carries the
// number of a lock. Two runs into one folder would destroy each other's checkpoints.
import { fromNode } from "../../engine/node.ts"
import { faultText } from "../../model/files/faults.ts"
import { syncFolder } from "../../model/index.ts"
import { isObject, parseJson } from "../../model/json.ts"
import { printable } from "../../model/printable.ts"
import { ownName } from "./names.ts"

const lockName = "lock.json"

interface Owner {
  /** What the file is, for whoever finds it. */
  readonly openelm: "lock of a training run"
  /** In the names of all that this process makes here. */
  readonly id: string
  readonly pid: number
  readonly host: string
  /** What distinguishes the process from a later one of the same number, where the system says it. */
  readonly started: string
  readonly since: string
}

export class RunFolder {
  readonly path: string
  readonly #owner: Owner
  /** Folders that were not there before. */
  readonly #made: readonly string[]

  private constructor(path: string, owner: Owner, made: readonly string[]) {
    this.path = path
    this.#owner = owner
    this.#made = made
  }

  /** Takes a folder, which is made if it is not there, and clears what a process that is no more has
   *  left unfinished. Throws Error naming whoever works in it. */
  static async open(path: string): Promise<RunFolder> {
    const { mkdir } = fromNode("node:fs/promises")
    const { join } = fromNode("node:path")
    const own = join(path, ownName)
    const first = await mkdir(own, { recursive: true }).catch((error: Error) => {
      throw new Error(
        `Cannot make ${own}, in which a run works: ${faultText(error)}. Give another --out, or move ` +
          "away what is in its place",
      )
    })
    const owner = await thisProcess()
    const before = await take(path, own, owner)
    if (before) await clear(own, before.id)
    const made = first === undefined ? [] : first === own ? [own] : [own, path]
    return new RunFolder(path, owner, made)
  }

  /** A name for something of which `name` is what it will be, or was. */
  scratch(name: string): string {
    const { join } = fromNode("node:path")
    return join(this.path, ownName, `${name}.${this.#owner.id}`)
  }

  /** Throws Error where the lock is another's by now: somebody removed this run's. */
  async check(): Promise<void> {
    const file = fromNode("node:path").join(this.path, ownName, lockName)
    const owner = await readLock(file).catch(() => undefined)
    if (owner?.id === this.#owner.id) return
    const who = owner
      ? `process ${owner.pid} on ${printable(owner.host, "line")} took it`
      : `${file} is gone`
    throw new Error(`${this.path} is not this run's any more: ${who}`)
  }

  /** Gives the folder free, and takes away what this run has made and not filled. */
  async close(): Promise<void> {
    const { rm, rmdir } = fromNode("node:fs/promises")
    const { join } = fromNode("node:path")
    const own = join(this.path, ownName)
    try {
      await this.check()
    } catch {
      return
    }
    await clear(own, this.#owner.id)
    await rm(join(own, lockName), { force: true })
    for (const folder of [own, ...this.#made]) await rmdir(folder).catch(() => undefined)
  }
}

/** Makes the lock, in place of one whose process is no more: that one is returned. */
async function take(path: string, own: string, owner: Owner): Promise<Owner | undefined> {
  const fs = fromNode("node:fs/promises")
  const { join } = fromNode("node:path")
  const [lock, draft] = [join(own, lockName), join(own, `lock.${owner.id}`)]
  await fs.writeFile(draft, `${JSON.stringify(owner, null, 1)}\n`, { flag: "wx" })
  try {
    if (await linked(draft, lock)) return undefined
    const before = await readLock(lock)
    if (await lives(before)) throw inUse(path, before, lock)
    // Whoever renames first has it; a lock that came in between is put back.
    const aside = join(own, `lock-before.${owner.id}`)
    await fs.rename(lock, aside).catch(() => undefined)
    const taken = await readLock(aside).catch(() => undefined)
    if (taken && taken.id !== before.id) await linked(aside, lock)
    await fs.rm(aside, { force: true })
    if (await linked(draft, lock)) return before
    throw inUse(path, await readLock(lock), lock)
  } finally {
    await fs.rm(draft, { force: true })
    await syncFolder(own)
  }
}

/** Whether the name was free. A link is there at once and whole, or not at all. */
async function linked(file: string, name: string): Promise<boolean> {
  const fs = fromNode("node:fs/promises")
  return fs.link(file, name).then(
    () => true,
    async (error: NodeJS.ErrnoException) => {
      if (error.code === "EEXIST") return false
      // A file system without links.
      const copied = fs.copyFile(file, name, fs.constants.COPYFILE_EXCL)
      return copied.then(
        () => true,
        (second: NodeJS.ErrnoException) => {
          if (second.code === "EEXIST") return false
          throw second
        },
      )
    },
  )
}

const inUse = (path: string, { pid, host, since }: Owner, lock: string): Error =>
  new Error(
    `${path} is in use by process ${pid} on ${printable(host, "line")}, since ${printable(since, "line")}. ` +
      "Wait for it, or give another --out; " +
      `if that process is no more, remove ${lock}`,
  )

/** Throws Error or SyntaxError for what is no lock of this program. */
async function readLock(path: string): Promise<Owner> {
  const bytes = await fromNode("node:fs/promises")
    .readFile(path)
    .catch((error: Error) => {
      throw new Error(`${path} cannot be read as the lock of a run: ${faultText(error)}`)
    })
  const owner = parseJson(bytes, path)
  if (isOwner(owner)) return owner
  throw new SyntaxError(`${path} is no lock of a training run. Look at it, and remove it`)
}

const lockText = "lock of a training run"
const isId = (id: unknown): id is string => typeof id === "string" && /^[0-9a-f]{16}$/.test(id)
const isPid = (pid: unknown): boolean => Number.isSafeInteger(pid) && (pid as number) > 0
/** Of a host or a time. */
const isName = (name: unknown): boolean => typeof name === "string" && name.length < 256

const isOwner = (json: unknown): json is Owner => {
  if (!isObject(json) || json.openelm !== lockText || !isId(json.id) || !isPid(json.pid))
    return false
  return [json.host, json.started, json.since].every(isName)
}

/** Removes what a lock's number marks as its process's own. */
async function clear(own: string, id: string): Promise<void> {
  const { readdir, rm } = fromNode("node:fs/promises")
  const { join } = fromNode("node:path")
  for (const name of await readdir(own)) {
    if (name.endsWith(`.${id}`)) await rm(join(own, name), { recursive: true, force: true })
  }
}

// ---- Processes ------------------------------------------------------------------------------------

async function thisProcess(): Promise<Owner> {
  const id = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join("")
  const { pid } = process
  const host = fromNode("node:os").hostname()
  const started = await startOf(pid)
  return { openelm: lockText, id, pid, host, started, since: new Date().toISOString() }
}

/** Whether an owner's process still runs; one of another machine may. */
async function lives({ pid, host, started }: Owner): Promise<boolean> {
  if (host !== fromNode("node:os").hostname()) return true
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false
  }
  return started === "" || started === (await startOf(pid))
}

/** When a process began, counted from which start of the machine; "" where the system does not say. */
async function startOf(pid: number): Promise<string> {
  const { readFile } = fromNode("node:fs/promises")
  try {
    const boot = await readFile("/proc/sys/kernel/random/boot_id", "utf8")
    const stat = await readFile(`/proc/${pid}/stat`, "utf8")
    // The second field is a name in brackets, which may hold anything.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    return `${boot.trim()} ${fields[19]}`
  } catch {
    return ""
  }
}
