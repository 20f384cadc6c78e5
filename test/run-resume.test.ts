// Runs that go on elsewhere, or beyond their end, from a state that says what can be.
import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs"
import { join } from "node:path"
import { loadTokenizer, textPipeline } from "../index.ts"
import { readRunState } from "../train/run/checkpoint.ts"
import { at, flags, lines, text, train, weights } from "./runs.ts"
import t from "./tap.ts"

t.test("a moved run goes on with its data, and with no other", async (t) => {
  mkdirSync(at("old"))
  cpSync(text, at("old", "d.txt"))
  const whole = ["--data", at("old", "d.txt"), "--steps", "4", "--save-every", "2"]
  await train(...flags, ...whole, "--out", at("old", "run"))
  const want = weights(at("old", "run", "step-00000004"))
  rmSync(at("old", "run", "step-00000004"), { recursive: true })
  renameSync(at("old"), at("new"))
  cpSync(at("new"), at("copy"), { recursive: true })

  const alone = await train("--resume", at("new", "run"))
  t.equal(alone.code, 0, alone.stderr)
  t.same(weights(at("new", "run", "step-00000004")), want, "found beside it")
  renameSync(at("copy", "d.txt"), at("copy", "renamed.txt"))
  const lost = await train("--resume", at("copy", "run"))
  t.match(lost.stderr, /Cannot read .*d\.txt: no such file/)
  const given = await train("--resume", at("copy", "run"), "--data", at("copy", "renamed.txt"))
  t.equal(given.code, 0, given.stderr)
  t.same(weights(at("copy", "run", "step-00000004")), want, "or where --data says")

  rmSync(at("new", "run", "step-00000004"), { recursive: true })
  for (const content of [lines.slice(0, 1).join("\n"), lines.join("\n").replace("line", "Line")]) {
    writeFileSync(at("new", "d.txt"), content)
    const other = await train("--resume", at("new", "run"))
    t.equal(other.code, 1)
    t.match(
      other.stderr,
      /state is of another pipeline: train of 1 files that hold \w+, now .* that/,
    )
  }
})

t.test("a finished run is trained further, by the schedule of its new length", async (t) => {
  await train(...flags, "--steps", "4", "--out", at("longer"))
  const further = await train("--resume", at("longer"), "--steps", "10")
  t.equal(further.code, 0, further.stderr)
  t.match(further.stdout, /from update 4, 10 updates/)
  t.match(further.stdout, /the schedule of 10 updates instead of 4: learning rate \S+ .*, not \S+/)
  t.equal((await readRunState(at("longer", "step-00000010"))).step, 10)
  const less = await train("--resume", at("longer"), "--steps", "3")
  t.equal(less.code, 2)
  t.match(less.stderr, /--steps is 3, and the run has made 10 updates/)
})

t.test("a run in the folder of its data is no data", async (t) => {
  const data = at("texts")
  mkdirSync(data)
  cpSync(text, join(data, "d.txt"))
  const some = flags.slice(0, flags.indexOf("--data"))
  const args = ["--steps", "4", "--save-every", "2", "--out", join(data, "run")]
  t.match(await train(...some, "--data", data, ...args), { code: 0, stderr: "" })
  const on = await train("--resume", join(data, "run"), "--steps", "6")
  t.equal(on.code, 0, on.stderr)
  const second = await train(...some, "--data", data, ...args.slice(0, -1), join(data, "second"))
  t.equal(second.code, 0, second.stderr)
  const same = await train(...some, "--data", data, "--steps", "4", "--out", data)
  t.match(same.stderr, /texts is the folder of a run, no data/)
  t.same(readdirSync(data).sort(), ["d.txt", "run", "second"])
})

/** Fields without a default, which a run need not have. */
const sizes = [
  "head_dim",
  "layers",
  "dim",
  "tokenizer",
  "data",
  "threads",
  "validation",
  "min_lr",
  "alpha",
  "beta",
  "ffn_divisor",
  "queries_per_key",
]

t.test("every field of a state is checked before anything goes on with it", async (t) => {
  await train(...flags, "--steps", "4", "--out", at("state"))
  const checkpoint = at("state", "step-00000004")
  const path = join(checkpoint, "state.json")
  const sound = JSON.parse(readFileSync(path, "utf8"))
  const wrong: unknown[] = [undefined, null, "1", -1, 0.5, 1e300, [], {}]
  for (const field of ["version", "step", "tokens", "settings", "data"]) {
    for (const value of wrong) {
      if (field === "data" && (value === null || JSON.stringify(value) === "{}")) continue
      if (field === "settings" && JSON.stringify(value) === "{}") continue
      writeFileSync(path, JSON.stringify({ ...sound, [field]: value }))
      await t.rejects(readRunState(checkpoint), {
        name: "SyntaxError",
        message: new RegExp(`state\\.json: ${field} is .*, expected`),
      })
    }
  }
  const had = Object.keys(sound.settings).filter((name) => !sizes.includes(name))
  for (const field of had) {
    const settings = { ...sound.settings, [field]: undefined }
    writeFileSync(path, JSON.stringify({ ...sound, settings }))
    const message = new RegExp(`state\\.json: settings: (${field} is missing|give model)`)
    await t.rejects(readRunState(checkpoint), { message }, field)
  }
  writeFileSync(path, JSON.stringify({ ...sound, step: 3 }))
  await t.rejects(readRunState(checkpoint), { message: /step is 3, expected 4, as its folder/ })
  writeFileSync(path, JSON.stringify({ ...sound, data: null }))
  const refused = await train("--resume", at("state"), "--steps", "5")
  t.match(refused.stderr, /state\.json: data is null, expected the place in the data/)
  const places = [{ ...sound.data.places[0], block: "x" }]
  writeFileSync(path, JSON.stringify({ ...sound, data: { ...sound.data, places } }))
  const odd = await train("--resume", at("state"), "--steps", "5")
  t.match(odd.stderr, /state\.json: state: places\[0\]\.block is "x", expected a whole number/)
  writeFileSync(path, JSON.stringify(sound))
  const tokenizer = await loadTokenizer("byte")
  const options = { sources: [text], pack: true, sequenceLength: 32, interleave: 2, seed: 0 }
  const goOn = async (data: object) => {
    const pipeline = textPipeline({ ...options, workers: 0 }, { tokenizer, state: data as never })
    await pipeline.next()
    await pipeline.return()
  }
  const [place] = sound.data.places
  const changed: [string, object][] = []
  const numbers = [undefined, null, "1", -1, 0.5, 1e300, 1e9]
  for (const value of numbers) {
    changed.push(["turn", { turn: value }], ["taken", { taken: value }])
    for (const field of Object.keys(place.position)) {
      if (value === 1e9 && field === "run") continue
      const position = { ...place.position, [field]: value }
      changed.push([field, { places: [{ ...place, position }] }])
    }
    changed.push(["taken", { places: [{ ...place, taken: value }] }])
    if (value === 1e9) continue
    for (const field of ["skipped", "offset", "block"]) {
      changed.push([field, { places: [{ ...place, [field]: value }] }])
    }
  }
  changed.push(
    ["places", { places: [] }],
    ["places", { places: "none" }],
    ["places", { places: [{}] }],
  )
  for (const [name, change] of changed) {
    const data = { ...sound.data, ...change }
    await t.rejects(goOn(data), { message: new RegExp(`state.*${name}`) }, JSON.stringify(change))
  }
  await goOn(sound.data)
})
