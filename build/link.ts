// Puts this checkout's own command where npx looks first: npm links the commands of dependencies
// only, and `elm` on the registry is another program. Run by `npm run build`.
import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..")
const bin = join(root, "node_modules", ".bin")

mkdirSync(bin, { recursive: true })
chmodSync(join(root, "dist", "elm.js"), 0o755)
if (process.platform === "win32") {
  writeFileSync(join(bin, "elm.cmd"), '@node "%~dp0\\..\\..\\dist\\elm.js" %*\r\n')
} else {
  rmSync(join(bin, "elm"), { force: true })
  symlinkSync(join("..", "..", "dist", "elm.js"), join(bin, "elm"))
}
