// Whether a runtime's digits are the pinned Node's, to the last: compare.mjs WANTED GOT, files of
// JSON lines. WANTED has a line for each build of the kernels: a relaxed multiply-add may round once, as
// V8's does, or twice, as JavaScriptCore's, and then gives what SIMD without it does.
import { deepStrictEqual } from "node:assert"
import { readFileSync } from "node:fs"
import { isDeepStrictEqual } from "node:util"

const [wanted, [got]] = process.argv.slice(2).map((file) =>
  readFileSync(file, "utf8")
    .trim()
    .split("\n")
    .map((line) => {
      const { build, ...digits } = JSON.parse(line)
      return { build, digits }
    }),
)
const same = wanted.find(({ digits }) => isDeepStrictEqual(digits, got.digits))
if (!same) deepStrictEqual(got.digits, wanted[0].digits)
console.log(`${got.build}: the digits of ${same.build}`)
