// What the build knows files by, so that it does nothing twice.
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { digestOf, filesIn } from "../build/digest.ts"
import t from "./tap.ts"

t.test("a digest tells names, bytes and what else is said, and no order", (t) => {
  const root = t.testdir({ a: "one", b: "two", c: "one", d: "", e: "" })
  const digests = [
    digestOf(root, ["a"]),
    digestOf(root, ["b"]),
    digestOf(root, ["c"]),
    digestOf(root, ["a", "b"]),
    digestOf(root, ["d"]),
    digestOf(root, ["d", "e"]),
    digestOf(root, []),
    digestOf(root, ["a"], "more"),
  ]
  t.equal(new Set(digests).size, digests.length)
  t.equal(digestOf(root, ["b", "a"]), digests[3])
  writeFileSync(join(root, "a"), "one.")
  t.not(digestOf(root, ["a"]), digests[0])
  t.throws(() => digestOf(root, ["f"]), /ENOENT/)
  t.end()
})

t.test("files of a folder are found in folders of it too, by their ending", (t) => {
  const root = t.testdir({ x: { "a.ts": "", "b.js": "", y: { "c.ts": "" } }, "d.ts": "" })
  t.same(filesIn(root, "x", /\.ts$/).sort(), [join("x", "a.ts"), join("x", "y", "c.ts")])
  t.end()
})
