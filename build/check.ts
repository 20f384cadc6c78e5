// Checks the types of all sources, as `tsc --noEmit` would, and that no promise is let go. Exits with 1
// where something is wrong. Run on the pinned Node, which takes types away by itself.
import { fileURLToPath } from "node:url"
import ts from "typescript"
import { floatingPromises } from "./promises.ts"

const root = fileURLToPath(new URL("..", import.meta.url))
const host: ts.ParseConfigFileHost = {
  ...ts.sys,
  onUnRecoverableConfigFileDiagnostic: ({ messageText }) => {
    throw new Error(ts.flattenDiagnosticMessageText(messageText, "\n"))
  },
}
const config = ts.getParsedCommandLineOfConfigFile(`${root}tsconfig.json`, { noEmit: true }, host)
if (!config) throw new Error(`no tsconfig.json in ${root}`)
const program = ts.createProgram(config.fileNames, config.options)
const wrong = [...config.errors, ...ts.getPreEmitDiagnostics(program)]
const floating = floatingPromises(program)
if (wrong.length > 0) console.error(ts.formatDiagnostics(wrong, ts.createCompilerHost({})))
for (const place of floating) {
  console.error(
    `${place.replace(root, "")}\n  a promise that nobody waits for: await it, or void it`,
  )
}
process.exitCode = wrong.length + floating.length > 0 ? 1 : 0
