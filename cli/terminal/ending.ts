// How a command ends before it is done: by a signal, or since nobody reads what it writes. Whoever has
// something to save says so with `whileRunning`; elsewhere what is unfinished is removed, and the
// process ends with the code that a shell expects.
import { faultText, removeTemporaries } from "../../model/index.ts"

/** Why a command is to end. */
type Reason = "signal" | "closed"
type Stop = (reason: Reason) => void

const codes = { SIGINT: 130, SIGTERM: 143 } as const
/** What a shell says of a command whose output was closed. */
const closedCode = 141

let stop: Stop | undefined
/** Whether the command saves what it makes, so that it is not lost with the output. */
let saves = false
let isEnding = false
/** Why the output could not be written, where that was not its reader's wish. */
let unwritten: NodeJS.ErrnoException | undefined
let isTold = false

function end(reason: Reason, code: number): void {
  const first = !isEnding
  isEnding = true
  if (reason === "signal") process.exitCode = code
  if (stop && first) {
    stop(reason)
    return
  }
  // A command that sees to its end itself, and is past what could be stopped or on its way there, may
  // write once more into the output that was closed; a second signal does not wait.
  if (reason === "closed" && (saves || !first)) return
  removeTemporaries()
  process.exit(code)
}

let interrupted: (() => boolean) | undefined

/** Has `call` asked on Ctrl-C: where it returns true, the command goes on. Returns what takes that back. */
export function onInterrupt(call: () => boolean): () => void {
  interrupted = call
  return () => {
    interrupted = undefined
  }
}

/** What Ctrl-C does, wherever it was typed. */
export function interrupt(): void {
  if (!interrupted?.()) end("signal", codes.SIGINT)
}

/** Once for the process, before anything is written. */
export function watchEnd(): void {
  process.on("SIGINT", interrupt)
  process.on("SIGTERM", () => end("signal", codes.SIGTERM))
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EPIPE") return end("closed", closedCode)
      // Work goes on whether it can be watched or not.
      unwritten ??= error
    })
  }
  // The last write may fail after the command has returned.
  process.once("beforeExit", () => {
    const problem = outputProblem()
    if (problem) console.error(problem)
    if (unwritten && !saves) process.exitCode ||= 1
  })
}

/** Has SIGTERM end the process at once, after what `last` says: where it ends others with it, there is nothing
 *  left to save with. */
export function endAtOnce(last: () => Promise<string | undefined>): void {
  process.removeAllListeners("SIGTERM")
  process.once("SIGTERM", async () => {
    removeTemporaries()
    const said = await last().catch(() => undefined)
    if (said) console.error(said)
    // An exit would wait for threads, of which one may wait for a process that is gone.
    process.kill(process.pid, "SIGKILL")
  })
}

/** Has `stop` called, once, where the command is to end. Returns what takes that back. */
export function whileRunning(call: Stop): () => void {
  stop = call
  saves = true
  return () => {
    stop = undefined
  }
}

/** What was not written of the output, as a message, once; undefined where all of it was. */
export function outputProblem(): string | undefined {
  if (!unwritten || isTold) return undefined
  isTold = true
  return `Not all of the output could be written: ${faultText(unwritten)}`
}
