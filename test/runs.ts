// Small runs of `elm train` in a folder of a test file's own.
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import t from "./tap.ts"

export const elm = fileURLToPath(new URL("../elm.js", import.meta.url))
export const dir = mkdtempSync(join(tmpdir(), "openelm-runs-"))
t.teardown(() => rmSync(dir, { recursive: true }))
export const at = (...names: string[]): string => join(dir, ...names)

export const text = at("text.txt")
export const lines = Array.from({ length: 3000 }, (_, i) => `line number ${i} of some text`)
writeFileSync(text, lines.join("\n"))

const sizes = "--layers 1 --dim 32 --head-dim 16 --tokenizer byte --threads 1 --warmup-steps 1"
const rest = "--sequence-length 32 --batch-size 2 --eval-every 0 --sample-every 0"
export const flags = [...sizes.split(" "), ...rest.split(" "), "--data", text]

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export const start = (args: readonly string[], cwd = dir): ChildProcess =>
  spawn(process.execPath, [elm, ...args], { cwd })

export const ended = (child: ChildProcess, watch?: (stdout: string) => void): Promise<Ended> =>
  new Promise((resolve) => {
    let [stdout, stderr] = ["", ""]
    child.stdout?.on("data", (data: Buffer) => {
      stdout += data
      watch?.(stdout)
    })
    child.stderr?.on("data", (data: Buffer) => {
      stderr += data
    })
    child.on("close", (code) => resolve({ code, stdout, stderr }))
  })

export const run = (args: readonly string[], cwd?: string) => ended(start(args, cwd))
export const train = (...args: string[]) => run(["train", ...args])
export const weights = (checkpoint: string) => readFileSync(join(checkpoint, "model.safetensors"))
