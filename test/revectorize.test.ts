// The choice between the product's tiles where V8 joins 128-bit operations in pairs.
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { openWasm } from "../backends/wasm/index.ts"
import { wideTilesPay } from "../backends/wasm/revectorize.ts"
import t from "./tap.ts"

const major = Number(process.versions.node.split(".")[0])
const none =
  major < 24 || process.arch !== "x64" ? "V8 does it from Node 24 on, on x86-64" : undefined
const skip = none ? { skip: none } : {}

t.test("the wide tile is taken where it is faster by a margin", (t) => {
  t.equal(wideTilesPay({ narrow: 100, wide: 150 }), true)
  t.equal(wideTilesPay({ narrow: 100, wide: 101 }), false, "level is not faster")
  t.equal(wideTilesPay({ narrow: 100, wide: 60 }), false)
  t.end()
})

t.test("tiles are compared when the backend opens, or one is forced", skip, async (t) => {
  const chosen = await openWasm({ threads: 2, revectorize: true })
  const rates = chosen.tileRates ?? { narrow: 0, wide: 0 }
  t.ok(rates.narrow > 0 && rates.wide > 0, JSON.stringify(rates))
  t.equal(chosen.wide, wideTilesPay(rates))
  chosen.close()
  const forced = await openWasm({ threads: 2, revectorize: true, wide: false })
  t.equal(forced.wide, false)
  t.ok(forced.tileRates, "what V8 makes of a product is checked all the same")
  forced.close()
  const plain = await openWasm({ threads: 2 })
  t.same([plain.wide, plain.tileRates], [false, undefined])
  plain.close()
})

t.test("--debug prints both rates", skip, async (t) => {
  const elm = fileURLToPath(new URL("../elm.js", import.meta.url))
  const args = [elm, "generate", "It is", "--max-new-tokens", "1", "--threads", "2", "--debug"]
  const { stderr } = await promisify(execFile)(process.execPath, args)
  t.match(stderr, /^256-bit tiles \d+ GFLOP\/s, narrow ones \d+: relaxed SIMD/)
})
