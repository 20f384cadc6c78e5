// Whether Dawn has a Vulkan driver to find on Linux. Where it has none it writes lines of its own to
// the standard error, from native code that nothing here can stop, before it says that there is no
// adapter: so where no driver is registered, another process asks, whose lines nobody reads.
import { fromNode } from "../../engine/node.ts"

/** False where Dawn would find no adapter. Never false by a guess alone. */
export async function mayFindDriver(): Promise<boolean> {
  if (process.platform !== "linux" || isAnyRegistered(process.env)) return true
  const { spawn } = fromNode("node:child_process")
  const args = ["--input-type=module", "-e", question]
  // Hooks and options of this process are for its own script.
  const env = { ...process.env, NODE_OPTIONS: "", OPENELM_DAWN: dawn() }
  const child = spawn(process.execPath, args, { env, stdio: "ignore", timeout: 30_000 })
  return new Promise((resolve) => {
    child.once("error", () => resolve(true))
    child.once("close", (code) => resolve(code !== noneFound))
  })
}

const noneFound = 3
const question = `const { create } = await import(process.env.OPENELM_DAWN)
const gpu = create([])
process.exit((await gpu.requestAdapter()) ? 0 : ${noneFound})`

/** Not a literal, so that no bundler takes the package into a page. */
const name: string = "webgpu"
const dawn = (): string => import.meta.resolve(name)

/** Whether a manifest lies where the Vulkan loader looks first, or a variable names one. */
function isAnyRegistered(env: NodeJS.ProcessEnv): boolean {
  const { existsSync, readdirSync, statSync } = fromNode("node:fs")
  const named = env.VK_DRIVER_FILES ?? env.VK_ICD_FILENAMES
  const list = (text: string | undefined, otherwise: string): string[] =>
    (text || otherwise).split(":").filter(Boolean)
  const home = env.HOME ?? ""
  const folders = [
    ...list(env.XDG_CONFIG_HOME, `${home}/.config`),
    ...list(env.XDG_CONFIG_DIRS, "/etc/xdg"),
    "/usr/local/etc",
    "/etc",
    ...list(env.XDG_DATA_HOME, `${home}/.local/share`),
    ...list(env.XDG_DATA_DIRS, "/usr/local/share:/usr/share"),
  ].map((folder) => `${folder}/vulkan/icd.d`)
  const places = named ? list(named, "") : [...list(env.VK_ADD_DRIVER_FILES, ""), ...folders]
  return places.filter(existsSync).some((path) => {
    if (!statSync(path).isDirectory()) return true
    return readdirSync(path).some((name) => name.endsWith(".json"))
  })
}
