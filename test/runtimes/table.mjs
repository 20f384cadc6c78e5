// The op table on a runtime's own WebGPU, such as Deno's, which is another implementation of WGSL than
// Dawn's: each case against its float64 meaning. Prints what is wrong, and counts.
import { kernelsOf, walk } from "../../dist/test/page.js"

const names = await kernelsOf("webgpu", {})
let [cases, wrong] = [0, 0]
for (const name of names) {
  for (const [label, message] of await walk(name)) {
    cases++
    if (message === "") continue
    wrong++
    console.log(`${label}: ${message}`)
  }
}
console.log(`${cases - wrong} of ${cases} cases of ${names.length} ops right`)
if (wrong > 0 || cases === 0) throw new Error("the op table is wrong here")
