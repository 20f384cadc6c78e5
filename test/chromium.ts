// A Chromium for the tests, where there is one, and a server of what they bundle for it.
import { existsSync } from "node:fs"
import type { Server } from "node:http"
import type { AddressInfo } from "node:net"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"
import { type Browser, chromium, type Page } from "playwright-core"
import { smallPart } from "./driver.ts"
import type { Test } from "./tap.ts"

interface Example {
  buildPage(out: string): Promise<unknown>
  serverOf(folder: string, headers?: Readonly<Record<string, string>>): Server
}

/** What examples/browser does, in plain JavaScript. */
const exampleOf = (file: string): Promise<Example> =>
  import(new URL(`../../examples/browser/${file}`, import.meta.url).href)
export const { buildPage } = await exampleOf("build.js")
export const { serverOf } = await exampleOf("serve.js")

export const root = fileURLToPath(new URL("../..", import.meta.url))

const { CHROME_PATH, PATH = "", ELM_REQUIRE_WEBGPU, ELM_REQUIRE_BROWSER } = process.env
const required = ELM_REQUIRE_BROWSER ?? ELM_REQUIRE_WEBGPU
const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]

const executable =
  CHROME_PATH ??
  names
    .flatMap((name) => PATH.split(delimiter).map((folder) => join(folder, name)))
    .find(existsSync)

/** Why nothing is tested in a browser here. With ELM_REQUIRE_BROWSER=1, or ELM_REQUIRE_WEBGPU=1,
 *  tests fail instead; 0 skips them. */
export const noBrowser = (() => {
  if (required === "0") return "ELM_REQUIRE_BROWSER or ELM_REQUIRE_WEBGPU is 0"
  if (executable !== undefined || required === "1") return undefined
  return "no Chromium: install it (Debian: apt-get install chromium), or set CHROME_PATH"
})()

/** Why the tests of pages that are not in the small part do not run here. */
export const noWholeBrowser = noBrowser ?? (ELM_REQUIRE_BROWSER === "1" ? undefined : smallPart)

/** Chromium with a software GPU, so that WebGPU is there without a real one. */
export async function launch(): Promise<Browser> {
  if (executable === undefined || !existsSync(executable)) {
    const reason = executable ? `there is no ${executable}` : `none of ${names.join(", ")} in PATH`
    throw new Error(`no Chromium: ${reason}. Install it, or set CHROME_PATH`)
  }
  return chromium.launch({
    executablePath: executable,
    chromiumSandbox: process.getuid?.() !== 0,
    args: ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"],
  })
}

/** A page, and all that it complains of. */
export async function pageOf(browser: Browser, options = {}): Promise<[Page, string[]]> {
  const page = await browser.newPage(options)
  const complaints: string[] = []
  page.on("pageerror", (error) => complaints.push(String(error)))
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text())
  })
  return [page, complaints]
}

/** The address of a server of a folder, isolated or not, that lives as long as the test. */
export async function serve(t: Test, folder: string, isolated = true): Promise<string> {
  const server = serverOf(folder, isolated ? undefined : {})
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
}
