// The command line as a whole: every command of `elm`, what it takes and how it says what is wrong.
import { Command } from "commander"
import { addTrain } from "../train/cli.ts"
import { addTokenizer } from "../train/tokenizer_cli.ts"
import { addBench } from "./cli.ts"
import { addCompletion } from "./completion.ts"
import { debugFlag } from "./debug.ts"
import { addGenerate } from "./generate.ts"
import { printable } from "./printable.ts"
import { addQuantize } from "./quantize.ts"

/** Throws CommanderError for wrong usage, where it has printed what is wrong. */
export function elmProgram(version: string): Command {
  const program = new Command("elm")
    .description("OpenELM in TypeScript on WebAssembly SIMD and WebGPU")
    .version(version)
    .exitOverride()
    .showHelpAfterError("(elm --help lists the options)")
    .configureOutput({ outputError: (text, write) => write(printable(text)) })
  addBench(program)
  addQuantize(program)
  addTrain(program)
  addGenerate(program)
  addTokenizer(program)
  addCompletion(program)
  addDebug(program)
  return program
}

/** --debug in the help of every command, wherever it is typed. */
function addDebug(command: Command): void {
  command.option(debugFlag, "print stack traces, and how tiles were chosen")
  command.commands.forEach(addDebug)
}
