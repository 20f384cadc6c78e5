// Makes dist/elm.js, which tsc wrote as one module among hundreds, one file with few others beside it, elm-*.js, for
// what is loaded later: finding and linking modules was half of what a short command cost. It is made of the
// sources, never of what an earlier build left. Run after kernels.js: node dist/build/bundle.js.
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { join, relative, sep } from "node:path"
import { build, type Plugin } from "esbuild"

const root = join(import.meta.dirname, "..", "..")
const dist = join(root, "dist")

/** Where tsc puts the module of a source, as seen from dist. */
const placeOf = (source: string): string =>
  `./${relative(root, source).split(sep).join("/").replace(/\.ts$/, ".js")}`

/** A module finds workers and folders beside itself, by where tsc puts it, wherever its text now stands. */
const places: Plugin = {
  name: "places",
  setup({ onLoad, onResolve }) {
    onLoad({ filter: /\.ts$/ }, ({ path }) => {
      const place = `new URL(${JSON.stringify(placeOf(path))}, import.meta.url).href`
      const text = readFileSync(path, "utf8")
      const other = /\bimport\.meta\.(?:dirname|filename)\b/.exec(text)?.[0]
      if (other) throw new Error(`${path}: ${other} is not kept in a bundle: take import.meta.url`)
      return { contents: text.replaceAll(/\bimport\.meta\.url\b/g, place), loader: "ts" }
    })
    // What kernels.js made has no source, is large, and is there once.
    onResolve({ filter: /^\.\.?\/.*\.js$/ }, ({ path, resolveDir }) => {
      const made = placeOf(join(resolveDir, path))
      if (!existsSync(join(dist, made))) throw new Error(`dist/${made} is missing: npm run build`)
      return { path: made, external: true }
    })
  },
}

/** Outputs of a bundle, but for elm.js itself. */
const isPart = (name: string): boolean => /^elm-.*\.js$/.test(name)

// What every test loads, tap, as one file.
await build({
  entryPoints: [join(root, "test", "tap.ts")],
  outfile: join(dist, "test", "tap.js"),
  bundle: true,
  format: "esm",
  platform: "node",
  target: "es2023",
  // Some of it are modules of the older kind, which ask for those of Node.
  banner: {
    js: `import * as ofNode from "node:module"; const require = ofNode.createRequire(import.meta.url)`,
  },
  logLevel: "warning",
})

const { metafile } = await build({
  // Beside the command, what the tests run many lines of it by.
  entryPoints: { elm: join(root, "elm.ts"), "test/performs": join(root, "test", "performs.ts") },
  absWorkingDir: root,
  outdir: dist,
  chunkNames: "elm-[name]-[hash]",
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "es2023",
  packages: "external",
  // Modules run in the order in which they are imported, as without a bundle.
  ignoreAnnotations: true,
  metafile: true,
  logLevel: "warning",
  plugins: [places],
})
const parts = Object.keys(metafile.outputs).map((path) => relative("dist", path))
for (const name of readdirSync(dist).filter((name) => isPart(name) && !parts.includes(name))) {
  rmSync(join(dist, name))
}
const bytes = Object.values(metafile.outputs).reduce((sum, output) => sum + output.bytes, 0)
console.log(
  `elm.js: ${Object.keys(metafile.inputs).length} modules, ${parts.length} files, ${bytes} bytes`,
)
