// Turns of a conversation as a person or a program types them: messages, and acts, which begin with "/".
// What Ctrl-C does in it.
import { printable } from "../../model/index.ts"
import { dim } from "./colour.ts"
import type { Conversation } from "./conversation.ts"
import { onInterrupt, whileRunning } from "./ending.ts"
import type { Lines } from "./lines.ts"

/** What "/NAME ARGUMENT" does; what it returns is said. */
export interface Act {
  /** What help calls the argument; one that is no TEXT has to be there. */
  readonly argument?: string
  readonly help: string
  run(conversation: Conversation, argument: string): string | Promise<string>
}

type Acts = Readonly<Record<string, Act>>

const say = (text: string): void => console.error(dim(printable(text)))

/** Goes on until the lines end, or somebody leaves. A turn that fails is said, and changes nothing; of
 *  lines that nobody types, it also sets the exit code. */
export async function runDialogue(
  conversation: Conversation,
  lines: Lines,
  acts: Acts,
): Promise<void> {
  const control = controlOf(lines)
  try {
    while (!control.isLeft) {
      const line = await lines.next("> ")
      if (line === undefined || control.isLeft) return
      const text = line.trim()
      if (/^\/(exit|quit)$/.test(text)) return
      if (text === "") continue
      try {
        if (text.startsWith("/")) say(await act(conversation, text, acts))
        else await answer(conversation, text, control)
      } catch (error) {
        console.error(printable((error as Error).message))
        if (!lines.isTyped) process.exitCode = 1
      }
    }
  } finally {
    control.done()
  }
}

async function act(conversation: Conversation, text: string, acts: Acts): Promise<string> {
  const [, name = "", argument = ""] = /^\/(\S*)\s*([\s\S]*)$/.exec(text) ?? []
  if (name === "help") return helpOf(acts)
  const found = Object.hasOwn(acts, name) ? acts[name] : undefined
  if (!found) throw new Error(`there is no /${name}. /help lists what there is`)
  const isNeeded = found.argument !== undefined && found.argument !== "TEXT"
  if (isNeeded && argument === "") throw new Error(`expected /${name} ${found.argument}`)
  return found.run(conversation, argument)
}

function helpOf(acts: Acts): string {
  const rows = Object.entries(acts).map(([name, act]): [string, string] => [
    `/${name} ${act.argument ?? ""}`,
    act.help,
  ])
  rows.push(["/help", "this"], ["/exit", "leave, as Ctrl-D does"], ["…\\", "one more line follows"])
  return rows.map(([name, help]) => `${name.padEnd(16)}${help}`).join("\n")
}

// What a model writes may hold anything; programs get it as it is, a terminal what is safe.
const shown = (text: string): string => (process.stdout.isTTY ? printable(text) : text)

async function answer(conversation: Conversation, text: string, control: Control): Promise<void> {
  const signal = control.begin()
  try {
    for await (const piece of conversation.answer(text, signal)) {
      if (!control.isClosed) process.stdout.write(shown(piece))
    }
  } finally {
    control.end()
    if (!control.isClosed) process.stdout.write("\n")
  }
}

interface Control {
  readonly isLeft: boolean
  /** Whether nobody reads what is written. */
  readonly isClosed: boolean
  /** An answer begins: its signal. */
  begin(): AbortSignal
  end(): void
  done(): void
}

/** The first Ctrl-C stops the answer, or warns where there is none; the second leaves. */
function controlOf(lines: Lines): Control {
  let [isLeft, isClosed, isWarned] = [false, false, false]
  let running: AbortController | undefined
  const leave = (reason: "signal" | "closed"): void => {
    isLeft = true
    isClosed ||= reason === "closed"
    running?.abort()
    lines.close()
  }
  const calm = whileRunning(leave)
  const quiet = onInterrupt(() => {
    if (isWarned) return false
    isWarned = true
    if (running) running.abort()
    else say("Ctrl-C again, Ctrl-D or /exit leaves")
    return true
  })
  return {
    get isLeft() {
      return isLeft
    },
    get isClosed() {
      return isClosed
    },
    begin() {
      isWarned = false
      running = new AbortController()
      return running.signal
    },
    end() {
      running = undefined
    },
    done() {
      calm()
      quiet()
    },
  }
}
