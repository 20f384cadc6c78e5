// A part of the data that training leaves out and validation reads.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type DataOptions, textPipeline } from "../train/data/index.ts"
import { dataSection } from "../train/run/parts.ts"
import { checkSettings } from "../train/run/settings.ts"
import t from "./tap.ts"

const dir = mkdtempSync(join(tmpdir(), "openelm-holdout-"))
t.teardown(() => rmSync(dir, { recursive: true }))
const write = (name: string, content: string): string => {
  writeFileSync(join(dir, name), content)
  return join(dir, name)
}

const words = Array.from({ length: 4000 }, (_, i) => `w${i}`)
const long = write("long.txt", words.join(" "))
const records = words.slice(0, 1000).map((text) => JSON.stringify({ text }))
const short = write("short.jsonl", records.join("\n"))

/** The words that a pipeline reads in a pass. */
async function wordsOf(data: DataOptions, split: "train" | "validation"): Promise<string[]> {
  const bytes: number[] = []
  const options = {
    tokenizer: "byte",
    workers: 0,
    normalization: "none",
    sequenceLength: 64,
  } as const
  for await (const { inputs } of textPipeline({ ...options, ...data }, { split, epochs: 1 })) {
    bytes.push(...[...inputs].map((id) => (id < 256 ? id : 32)))
  }
  return Buffer.from(bytes).toString().split(/\s+/).filter(Boolean)
}

for (const [name, file] of Object.entries({ "one long document": long, "many short": short })) {
  for (const pack of [true, false]) {
    t.test(`of ${name}, ${pack ? "packed" : "padded"}, no word is in both parts`, async (t) => {
      const data = {
        sources: [file],
        pack,
        wordsPerPiece: 8,
        minTokens: 0,
        minCharacters: 0,
        shuffleWindows: 1,
        holdOut: 0.1,
      }
      const whole = new Set(await wordsOf({ ...data, holdOut: 0 }, "train"))
      // Words at the cuts of windows are in two parts; whole ones are told by what there is.
      const [train, held] = [
        (await wordsOf(data, "train")).filter((w) => whole.has(w)),
        (await wordsOf(data, "validation")).filter((w) => whole.has(w)),
      ]
      const both = held.filter((word) => train.includes(word) && word.length > 4)
      t.ok(both.length <= held.length / 20, `${both.length} of ${held.length}`)
      const part = held.length / (held.length + train.length)
      t.ok(part > 0.05 && part < 0.2, `${(100 * part).toFixed(1)} % are held out`)
      t.same(await wordsOf(data, "validation"), await wordsOf(data, "validation"))
    })
  }
}

t.test("sources of their own come before what is held out", async (t) => {
  const data = { sources: [long], validation: [short], holdOut: 0.5, pack: true }
  const whole = await wordsOf({ sources: [long], pack: true }, "train")
  t.same(await wordsOf(data, "train"), whole)
})

t.test("a run validates on a file, a part, or not at all", async (t) => {
  const settings = (validation?: string | number) =>
    dataSection(
      checkSettings(
        { model: "270M", data: long, ...(validation !== undefined && { validation }) },
        "x",
      ),
    )
  t.match(await settings(short), { validation: [short], sources: [long] })
  t.match(await settings(0.1), { holdOut: 0.1 })
  t.notOk((await settings(0)).holdOut)
  const both = { model: "270M", data: { sources: [long] }, validation: short }
  t.throws(() => checkSettings(both, "x"), /validation is a path, and data names its own/)
  t.throws(
    () => checkSettings({ model: "270M", data: long, validation: 0.9 }, "x"),
    /from 0 to 0\.5/,
  )
})
