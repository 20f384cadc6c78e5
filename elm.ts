#!/usr/bin/env node
// The `elm` command. Each subcommand is a file of a folder. Errors are one message: exit code 2 for
// wrong usage, 1 for the rest; --debug adds the stack, and what was chosen by measuring.
import { readFileSync } from "node:fs"
import { Command, CommanderError } from "commander"
import { addBench } from "./bench/cli.ts"
import { debug, debugFlag } from "./bench/debug.ts"
import { outputProblem, watchEnd } from "./bench/ending.ts"
import { addGenerate } from "./bench/generate.ts"
import { printable } from "./bench/printable.ts"
import { addQuantize } from "./bench/quantize.ts"
import { addTrain } from "./train/cli.ts"
import { addTokenizer } from "./train/tokenizer_cli.ts"

const manifest = new URL("../package.json", import.meta.url)
const { version } = JSON.parse(readFileSync(manifest, "utf8")) as { version: string }

const program = new Command("elm")
  .description("OpenELM in TypeScript on WebAssembly SIMD and WebGPU")
  .version(version)
  .option(debugFlag, "print stack traces, and how tiles were chosen")
  .exitOverride()
  .showHelpAfterError("(elm --help lists the options)")
addBench(program)
addQuantize(program)
addTrain(program)
addGenerate(program)
addTokenizer(program)
overrideExits(program)

watchEnd()
try {
  await program.parseAsync(process.argv.filter((word) => word !== debugFlag))
} catch (error) {
  if (error instanceof CommanderError) {
    // Commander has printed its own message; help and version are no errors.
    if (error.code === "elm.usage") console.error(error.message)
    process.exitCode = error.exitCode === 0 ? 0 : 2
  } else {
    const { message, stack } = error instanceof Error ? error : new Error(String(error))
    console.error(printable((debug ? stack : message) ?? message))
    process.exitCode = 1
  }
}
const problem = outputProblem()
if (problem) console.error(problem)

/** Has wrong usage throw, in every command, instead of ending the process with exit code 1. */
function overrideExits(command: Command): void {
  command.exitOverride()
  command.commands.forEach(overrideExits)
}
