// The data pipeline against what the original yields from the same files, token by token, and the
// same samples from threads, and from any place on.
import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { fileOrder, filesOf } from "../train/data/files.ts"
import {
  type DataOptions,
  loadDataConfig,
  type PipelineOptions,
  type PipelineState,
  type Sample,
  textPipeline,
} from "../train/data/index.ts"
import { fromFile } from "../train/spelling.ts"
import { fixture, fixtureJson } from "./fixtures.ts"
import t from "./tap.ts"

interface Expected {
  readonly file: string
  readonly n_tokens: number
  readonly first4: readonly number[]
  readonly sum: number
  readonly tokens?: readonly number[]
}

const golden = fixtureJson("data/pipeline.json")
const { settings, pad_token_id: padId } = golden

const config: DataOptions = {
  sources: fromFile({ sources: golden.datasets }, "golden").sources as DataOptions["sources"],
  root: fixture("data/files"),
  tokenizer: fixture("data/tiny.model"),
  sequenceLength: settings.sequence_length,
  minTokens: settings.min_tokens_per_text,
  minCharacters: settings.min_characters_per_text,
  wordsPerPiece: settings.document_split_size,
  readerChunkSize: settings.reader_chunk_size,
  seed: settings.random_seed,
  workers: 0,
}

/** The first samples of a pipeline, which then ends. */
async function first(
  count: number,
  options: PipelineOptions,
  changed: Partial<DataOptions> = {},
): Promise<Sample[]> {
  const all: Sample[] = []
  for await (const sample of textPipeline({ ...config, ...changed }, options)) {
    all.push(sample)
    if (all.length === count) break
  }
  return all
}

const tokensOf = ({ inputs, targets }: Sample): number[] => {
  const row = [...inputs, targets.at(-1) as number]
  const end = row.indexOf(padId)
  return end < 0 ? row : row.slice(0, end)
}

t.test("samples equal the original's", async (t) => {
  for (const [name, run] of Object.entries(golden.runs)) {
    const { samples } = run as { samples: readonly Expected[] }
    const [, rank, worldSize] = (/(\d+)_of_(\d+)/.exec(name) as RegExpExecArray).map(Number)
    const got = await first(samples.length, { rank, worldSize })
    for (const [i, want] of samples.entries()) {
      const sample = got[i] as Sample
      const tokens = tokensOf(sample)
      const sum = tokens.reduce((a, b) => a + b, 0)
      const same = { n: want.n_tokens, first4: [...want.first4], sum: want.sum }
      t.same({ n: tokens.length, first4: tokens.slice(0, 4), sum }, same, `${name} ${i}`)
      if (want.tokens) t.same(tokens, want.tokens)
      t.same(sample.targets.subarray(0, -1), sample.inputs.subarray(1))
      t.equal(sample.inputs.length, settings.sequence_length)
    }
  }
})

t.test("files are opened in the original's order", async (t) => {
  const checked = await loadDataConfig(config)
  const files = await filesOf(checked, "train")
  const nameOf = ({ path }: { path: string }): string => path.replace(/.*\//, "")
  for (const [name, run] of Object.entries(golden.runs)) {
    const { shuffled_file_list, files_opened_in_order } = run as Record<string, string[]>
    const whole = { ...checked, shardBy: "documents" as const }
    const all = fileOrder(files, whole, { rank: 0, world: 1, split: "train" })
    t.same(all(0).map(nameOf), shuffled_file_list)
    const [, rank = 0, world = 1] = (/(\d+)_of_(\d+)/.exec(name) ?? []).map(Number)
    const order = fileOrder(files, checked, { rank, world, split: "train" })
    const opened = [0, 1].flatMap((epoch) => order(epoch).map(nameOf))
    t.same(opened.slice(0, files_opened_in_order?.length), files_opened_in_order, name)
  }
})

t.test("two workers take turns with what ranks 0 and 1 of 2 have", async (t) => {
  const [a, b] = await Promise.all([0, 1].map((rank) => first(20, { rank, worldSize: 2 })))
  const turns = Array.from({ length: 20 }, (_, i) => (i % 2 ? b : a)?.[Math.floor(i / 2)])
  t.same(await first(20, { workers: 2 }), turns)
  const batches = [...(a ?? []).slice(0, 5), ...(b ?? []).slice(0, 5), ...(a ?? []).slice(5, 10)]
  t.same(await first(15, { workers: 2 }, { interleave: 5 }), batches)
})

const modes: readonly (readonly [string, Partial<DataOptions>])[] = [
  ["piece by piece", {}],
  ["packed", { pack: true, shuffleWindows: 7, minTokens: 30, minCharacters: 100 }],
]

for (const [mode, changed] of modes) {
  t.test(`threads give the samples of the calling thread, ${mode}`, async (t) => {
    t.same(await first(60, { workers: 1 }, changed), await first(60, { workers: 0 }, changed))
    const twice = await Promise.all([1, 2].map(() => first(60, { workers: 2 }, changed)))
    t.same(twice[0], twice[1])
  })

  t.test(`a pipeline goes on from wherever it was, ${mode}`, async (t) => {
    for (const workers of [0, 2]) {
      // Far enough to be in the second epoch, or the third block of windows.
      const want = await first(90, { workers }, changed)
      const states: PipelineState[] = []
      const whole = textPipeline({ ...config, ...changed }, { workers })
      for await (const _ of whole) {
        states.push(JSON.parse(JSON.stringify(whole.state())))
        if (states.length === (workers === 0 ? 80 : 24)) break
      }
      t.ok(JSON.stringify(states.at(-1)).length < 1000, "a state is small")
      for (const [i, state] of states.entries()) {
        // After each of the first samples, and after some of all that come.
        if (i > 3 && i % 13 !== 0) continue
        const got = await first(6, { workers, state }, changed)
        t.same(got, want.slice(i + 1, i + 7), `${workers} workers, after sample ${i}`)
      }
    }
  })
}

t.test("a state of other settings is refused", async (t) => {
  const whole = textPipeline(config, { workers: 0 })
  await whole.next()
  const state = whole.state()
  await t.rejects(
    first(1, { state }, { sequenceLength: 50 }),
    /of 48 tokens .*, now .* of 50 tokens/,
  )
  await t.rejects(first(1, { state, workers: 2 }), /state is of another pipeline: 1 workers, now 2/)
  await t.rejects(
    first(1, { state: {} as PipelineState }),
    /expected what a pipeline's state\(\) returned/,
  )
})

t.test("ending early ends the workers, and nothing comes after", async (t) => {
  const pipeline = textPipeline(config, { workers: 2 })
  await pipeline.next()
  const waiting = pipeline.next()
  await pipeline.return()
  await waiting
  t.same(await pipeline.next(), { value: undefined, done: true })
  await using other = textPipeline(config, { workers: 1 })
  await other.next()
})

t.test("a script that ends in the middle needs not end the workers", async (t) => {
  const script = `
    import { textPipeline } from ${JSON.stringify(new URL("../index.js", import.meta.url).href)}
    const pipeline = textPipeline(${JSON.stringify(config)}, { workers: 2 })
    console.log((await pipeline.next()).value.inputs.length)`
  const { status, stdout } = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
    timeout: 20_000,
    encoding: "utf8",
  })
  t.same([status, stdout], [0, "48\n"])
})

t.test("damage that is skipped is counted once, wherever a run goes on", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "openelm-damage-"))
  t.teardown(() => rmSync(dir, { recursive: true }))
  const record = (i: number): string =>
    JSON.stringify({ text: `record ${i} and more words `.repeat(3) })
  const lines = Array.from({ length: 12 }, (_, i) => (i % 5 === 3 ? "{" : record(i)))
  writeFileSync(join(dir, "a.jsonl"), lines.join("\n"))
  writeFileSync(join(dir, "b.json.gz"), gzipSync(lines.join("\n")).subarray(0, -9))
  const wrong = Buffer.from("\n\xff\n", "latin1")
  const text = Buffer.from("plain words of a book ".repeat(9))
  writeFileSync(join(dir, "c.txt"), Buffer.concat([text, wrong, text, wrong, text]))
  const shared = {
    sources: [dir],
    tokenizer: "byte",
    sequenceLength: 40,
    onError: "skip",
  } as const
  const small = { wordsPerPiece: 6, minTokens: 0, minCharacters: 0, shuffleWindows: 3 }
  for (const pack of [false, true]) {
    const run = async (state?: PipelineState): Promise<[Sample[], PipelineState[], number]> => {
      const given = { ...shared, ...small, pack, workers: 0 }
      const pipeline = textPipeline(given, { epochs: 2, ...(state ? { state } : {}) })
      const samples: Sample[] = []
      const states: PipelineState[] = []
      for await (const sample of pipeline) {
        samples.push(sample)
        states.push(structuredClone(pipeline.state() as PipelineState))
      }
      return [samples, states, pipeline.skipped]
    }
    const [samples, states, skipped] = await run()
    t.ok(skipped >= 12, `${skipped} skipped`)
    for (const [i, state] of states.entries()) {
      const [rest, , total] = await run(state)
      t.same([rest, total], [samples.slice(i + 1), skipped], `after sample ${i}`)
    }
  }
})
