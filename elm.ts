#!/usr/bin/env node
// The `elm` command. Each subcommand is a file of cli/. Errors are one message: exit code 2 for
// wrong usage, 1 for the rest; --debug adds the stack, and what was chosen by measuring.
import { readFileSync } from "node:fs"
import { CommanderError } from "commander"
import { elmProgram } from "./cli/program.ts"
import { outputProblem, watchEnd } from "./cli/terminal/ending.ts"
import { dashed, debug } from "./cli/terminal/invocation.ts"
import { printable, systemFault } from "./model/index.ts"

const manifest = new URL("../package.json", import.meta.url)
const { version } = JSON.parse(readFileSync(manifest, "utf8")) as { version: string }

watchEnd()
try {
  await elmProgram(version).parseAsync(dashed(process.argv))
} catch (error) {
  if (error instanceof CommanderError) {
    // Commander has printed its own message; help and version are no errors.
    if (error.code === "elm.usage") console.error(printable(error.message))
    process.exitCode = error.exitCode === 0 ? 0 : 2
  } else {
    const { message, stack } = error instanceof Error ? error : new Error(String(error))
    console.error(printable(debug && stack ? stack : (systemFault(error) ?? message)))
    process.exitCode = 1
  }
}
const problem = outputProblem()
if (problem) console.error(printable(problem))
