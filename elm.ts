#!/usr/bin/env node
// The `elm` command. Each subcommand is a folder's cli.ts. Errors are one message: exit code 2 for
// wrong usage, 1 for the rest; --debug adds the stack.
import { readFileSync } from "node:fs"
import { Command, CommanderError } from "commander"
import { addBench } from "./bench/cli.ts"

const manifest = new URL("../package.json", import.meta.url)
const { version } = JSON.parse(readFileSync(manifest, "utf8")) as { version: string }

const program = new Command("elm")
  .description("OpenELM in TypeScript: inference and training on WebAssembly SIMD")
  .version(version)
  .option("--debug", "print stack traces")
  .exitOverride()
  .showHelpAfterError("(elm --help lists the options)")
addBench(program)
for (const command of program.commands) {
  for (const each of [command, ...command.commands]) each.exitOverride()
}

try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof CommanderError) {
    // Commander has printed its message; help and version are no errors.
    process.exitCode = error.exitCode === 0 ? 0 : 2
  } else {
    const { message, stack } = error instanceof Error ? error : new Error(String(error))
    console.error(program.opts().debug ? stack : message)
    process.exitCode = 1
  }
}
