// Runs lines of the command, given as JSON, and prints as JSON how each ended.
import { perform } from "../cli/program.ts"
import type { Ended } from "./command.ts"

const ends: Ended[] = []
const { stdout, stderr } = process
const print = stdout.write.bind(stdout)

for (const line of JSON.parse(process.argv[2] as string) as string[][]) {
  const said = { stdout: "", stderr: "" }
  const into = (name: keyof typeof said) =>
    ((text: string, ...rest: unknown[]) => {
      said[name] += text
      const done = rest.at(-1)
      if (typeof done === "function") done()
      return true
    }) as typeof stdout.write
  stdout.write = into("stdout")
  stderr.write = into("stderr")
  process.exitCode = 0
  await perform(["node", "elm", ...line], "0.0.0")
  ends.push({ code: Number(process.exitCode), ...said })
}
process.exitCode = 0
print(JSON.stringify(ends), () => process.exit())
