#!/usr/bin/env node
// The `elm` command. Each subcommand is a file of cli/.
import { readFileSync } from "node:fs"
import { perform } from "./cli/program.ts"
import { outputProblem, watchEnd } from "./cli/terminal/ending.ts"
import { printable } from "./model/index.ts"

const manifest = new URL("../package.json", import.meta.url)
const { version } = JSON.parse(readFileSync(manifest, "utf8")) as { version: string }

watchEnd()
await perform(process.argv, version)
const problem = outputProblem()
if (problem) console.error(printable(problem))
