// Builds the page into a folder that any server can give: the modules, bundled by esbuild, and beside
// them the package's model and a text to learn from.
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { gunzipSync } from "node:zlib"
import { build } from "esbuild"

const here = dirname(fileURLToPath(import.meta.url))
const root = dirname(dirname(here))

/** Writes the page into `out`, emptied first, and returns what esbuild says about it. */
export async function buildPage(out = join(here, "out")) {
  rmSync(out, { recursive: true, force: true })
  mkdirSync(out, { recursive: true })
  for (const file of ["index.html", "style.css"]) cpSync(join(here, file), join(out, file))
  for (const file of ["config.json", "model.safetensors", "tokenizer.model"]) {
    cpSync(join(root, "models/small", file), join(out, "models/small", file))
  }
  const text = gunzipSync(readFileSync(join(root, "train/text/austen-validation.txt.gz")))
  writeFileSync(join(out, "text.txt"), text)
  return build({
    // The last one is what the threads of the wasm backend run; it must lie beside the others.
    entryPoints: {
      page: join(here, "page.js"),
      engine: join(here, "engine.js"),
      endpoint: join(here, "endpoint.js"),
      worker: "openelm/worker.js",
    },
    absWorkingDir: root,
    outdir: out,
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    minify: true,
    metafile: true,
  })
}
