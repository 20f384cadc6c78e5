// Every table that a command prints, at terminals of every width: no line is wider, nothing that matters
// most is missing, and what there is no room for is named.
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { normKinds } from "../bench/measure/norm_kinds.ts"
import { predict } from "../bench/measure/roofline.ts"
import type { ThroughputRow } from "../bench/measure/throughput.ts"
import { variantsOf } from "../bench/measure/variants.ts"
import type { Command } from "../cli/line/command.ts"
import { commands } from "../cli/program.ts"
import { stepsText } from "../cli/terminal/steps.ts"
import { type Column, folded, type TableOf, tableText, widthOf } from "../cli/terminal/table.ts"
import { headline, throughputLines } from "../cli/terminal/throughput.ts"
import { suites } from "../eval/suites.ts"
import t from "./tap.ts"

const spread = { median: 1050.4, min: 987.6, max: 1103 }
const times = { median: 0.1842, min: 0.18, max: 12.3 }

const row = (model: string): ThroughputRow => ({
  ...{ model, backend: "wasm", dtype: "bf16", cache: "f16", threads: 16, parameters: 271527168 },
  ...{ promptTokens: 35, generatedTokens: 64, promptTokensPerSecond: 1050 },
  ...{ generationTokensPerSecond: 62.35, totalTokensPerSecond: 90.1, promptSpread: spread },
  ...{ generationSpread: spread, totalSpread: spread, bandwidthFraction: 0.93 },
  ...{ bytesPerSecond: 4e10, flopsFraction: 0.61, flopsPerSecond: 4e11, stepsPerToken: 100 },
  ...{ weightBytes: 543e6, peakMemoryBytes: 1.2e9, loadMs: 1234, readyMs: 5000 },
  ...{ bandwidthSpread: spread, flopsSpread: spread, repeats: [] },
})
const steps = [3, 120].map((step) => ({
  ...{ step, op: "normMatmulSwiglu", kernels: ["normMatmulSwiglu", "copy"], workgroups: [640, 1] },
  ...{ bytes: 1e7, flops: 2e7, microseconds: 812.3, rooflineMicroseconds: 700 },
}))
const cases = [
  "rmsNorm N=1 D=1280 eps=0.000001",
  "ropeAttentionParts B=1 H=12 G=3 S=300 E=64 C=300 R=10 position=299 eps=0.000001 scale=0.125",
]
const norms = normKinds.map((norm) => ({
  ...{ model: "OpenELM-1_1B bf16", norm, normsPerToken: 113, stepsPerToken: 480 },
  ...{ promptTokensPerSecond: 373.21, generationTokensPerSecond: 25.4, totalTokensPerSecond: 60 },
  ...{ promptRatio: 0.981, generationRatio: 0.9431, normMicroseconds: 1234.5 },
}))
const training = {
  ...{ model: "small, V 32000", dtype: "bf16", parameters: 2e7, batch: 8, positions: 128 },
  ...{ tokensPerSecond: 6300, spread, flopsFraction: 0.71, flopsPerSecond: 1e11 },
  ...{ activationBytes: 3e8, stateBytes: 3e8, peakMemoryBytes: 2e9, steps: 300 },
}
const driven = {
  dtype: "bf16" as const,
  ...{ model: "OpenELM-270M", dispatchesPerToken: 100, submitsPerToken: 1 },
  ...{ readbacksPerToken: 1, bindGroupsPerToken: 0, processorMs: times, callerMs: times },
}
const predictions = await predict({ model: ["270M"], dtype: "bf16", cache: "f32", context: 1059 })

const perplexities = (["f32", "q4"] as const).map((dtype) => ({
  ...{ dtype, crossEntropy: 3.1234, perplexity: 22.7 },
  ...{ tokens: 20000, weightBytes: 5.4e6 },
}))
const timed = cases.map((each) => ({
  ...{ case: each, microseconds: 1234.5, errorFraction: 0.03, bytesPerSecond: 1e10 },
  ...{ bandwidthFraction: 0.5, flopsPerSecond: 1e10, flopsFraction: 0.2 },
}))
const alone = { rows: 36, width: 2048, naiveMicroseconds: 99, fusedMicroseconds: 9, ratio: times }
const compared = (["slower", "same", "unknown"] as const).map((verdict) => ({
  ...{ key: "OpenELM-270M bf16, cache f16", rate: "bandwidthShare", before: 0.81, after: 0.7 },
  ...{ ratio: 0.864, low: 0.81, high: 0.93, repeats: [5, 5] as const, verdict },
}))
const metric = {
  ...{ name: "  - high_school_european_history", version: 0, filter: "none", shots: 5 },
  ...{ metric: "acc_norm", value: 0.25, error: 0.0123 },
}
const suiteRow = { name: "apple/OpenELM-270M", average: 54.371, isPaper: false }
const difference = {
  ...{ task: "arc_challenge", metric: "acc_norm,none", documents: 1172, first: 0.2, second: 0.3 },
  ...{ difference: 0.1, error: 0.01, low: 0.08, high: 0.12, onlyFirst: 3, onlySecond: 120 },
  mcnemar: 1e-9,
}
const scored = {
  ...{ requests: "questions, 4 answers", tokens: 12345, tokensRead: 9876, tokensPerSecond: spread },
  ...{ readPerSecond: spread, promptTokensPerSecond: spread },
  ...{ tokensOverPrompt: 2.11, readOverPrompt: 0.67 },
}
const downloaded = {
  ...{ repository: "allenai/ai2_arc", revision: "210d026faf9955653af8916fad021475a3f00453" },
  ...{ tasks: ["arc_easy", "arc_challenge"], files: ["a", "b"], bytes: 1.2e6 },
}
const waited = { p50: 102.3, p95: 445.6 }
const streamed = {
  ...{ clients: 64, whole: 80, left: 23, tokensPerSecond: 237.4, ratio: 3.29 },
  ...{ firstMs: waited, betweenMs: waited, rssBytes: [4.5e8, 4.6e8] as const },
}
const waits = { what: "import to the first token", milliseconds: spread, ratio: 4.5 }

const secondsOf = { total: 204.12, copying: 9.81, network: 0.459, bytes: 1.1e9 }
const scaled = (["none", "state", "full"] as const).map((shard) => ({
  ...{ model: "OpenELM-270M", shard, nodes: 128, tokensPerSecond: 1222.3, efficiency: 0.95 },
  ...{ stateBytes: 4.1e9, activationBytes: 2.5e9, seconds: secondsOf },
}))
const sizeOfRank = {
  ...{ error: -0.061, ofOne: 0.933, stateBytes: 3.1e7, predictedStateBytes: 3.1e7 },
}

const rates = { prompt: 1234.5, generation: 159.67, total: 165.85 }
const ofPaper = {
  ...{ table: "8", label: "OpenELM-1_1B bf16, layerNorm", paper: rates, rates },
  ...{ bandwidthFraction: 0.9, normsPerToken: 113, generationRatio: 0.98, foreignShare: 0.5 },
}

/** Rows, or a text, for each table of each command, and what is never left out of it. */
const contents: Readonly<
  Record<string, readonly [readonly object[] | ((width: number) => string), readonly string[]]>
> = {
  "bench throughput 0": [
    throughputLines([row("OpenELM-270M"), row("一个很长的名字".repeat(4))]),
    ["model", "prompt tok/s", "generation tok/s"],
  ],
  "bench throughput 1": [
    (width) => stepsText({ model: "OpenELM-270M", dtype: "bf16" }, steps, width),
    ["kernel", "µs"],
  ],
  "bench throughput 2": [
    ["openelm", "onnxruntime-node"].map((program) => ({
      ...{ program, version: "1.30.0", model: "OpenELM-270M", dtype: "bf16" },
      ...{ promptSpread: spread, generationSpread: spread, promptRatio: 1.2, generationRatio: 0.9 },
    })),
    ["program", "× generation"],
  ],
  "bench table 0": [[ofPaper], ["model", "generation tok/s"]],
  "bench table 1": [[ofPaper], ["model", "generation tok/s"]],
  "bench table 2": [[ofPaper], ["model", "generation tok/s"]],
  "bench norms 0": [norms, ["norm (per token)", "generation ratio"]],
  "bench norms 1": [[alone], ["naive / fused"]],
  "bench train 0": [[training], ["tok/s"]],
  "bench perplexity 0": [perplexities, ["perplexity"]],
  "bench ops 0": [timed, ["µs"]],
  "bench ops 1": [variantsOf(), ["op", "kernel"]],
  "bench start 0": [[waits], ["of node -e 0"]],
  "bench roofline 0": [predictions, ["GPU", "generation tok/s"]],
  "bench scale 0": [scaled, ["model", "nodes", "tok/s"]],
  "bench scale 1": [
    [
      {
        ...{ size: 2, threads: 1, shard: "state", tokensPerSecond: 2567.8, predicted: 2412.3 },
        ...sizeOfRank,
      },
    ],
    ["ranks", "tok/s", "error"],
  ],
  "bench drive 0": [[driven], ["processor ms"]],
  "bench sweep 0": [
    [{ ...row("α 0.5–1, β 0.5–4"), modelDim: 1280, layerParameters: [1e6, 2e7], loss: 3.21 }],
    ["scaling", "generation tok/s"],
  ],
  "bench compare 0": [compared, ["ratio", "verdict"]],
  "bench scores 0": [[scored], ["requests", "tok/s over prompt"]],
  "bench serve 0": [[streamed], ["clients", "tok/s"]],
  "eval download 0": [[downloaded], ["data set", "size"]],
  "eval run 0": [[metric], ["task", "metric", "value"]],
  ...Object.fromEntries(
    suites.flatMap(({ columns }, i) =>
      [`eval run ${i + 1}`, `eval curve ${i}`].map((name) => [
        name,
        [[{ ...suiteRow, scores: columns.map(() => 25.4321) }], ["model", "average"]],
      ]),
    ),
  ),
  "eval compare 0": [[difference], ["task", "difference"]],
}

/** Every table of the commands by its command's name and its place there. */
const tablesOf = (all: readonly Command[], before = ""): [string, TableOf<never>][] =>
  all.flatMap(({ name, tables, commands }) => [
    ...tables.map((table, i): [string, TableOf<never>] => [`${before}${name} ${i}`, table]),
    ...tablesOf(commands, `${before}${name} `),
  ])
const tables = tablesOf(commands)

for (const [name, table] of tables) {
  t.test(`the table of ${name} fits terminals of 20 to 200 columns`, (t) => {
    const [rows, kept] = contents[name] ?? [[], []]
    const text = (width: number): string =>
      typeof rows === "function" ? rows(width) : tableText(table, rows as never[], width)
    const whole = text(Number.POSITIVE_INFINITY)
    const names =
      whole
        .split("\n")
        .find((line) => /^│/.test(line))
        ?.split("│") ?? []
    const columns = names.map((each) => each.trim()).filter(Boolean)
    t.ok(columns.length >= 3, "a pipe gets all columns, in one line")
    t.notMatch(whole, /--json has all/)
    for (const width of [20, 40, 60, 80, 100, 120, 200]) {
      const fitted = text(width)
      for (const line of fitted.split("\n")) t.ok(widthOf(line) <= width, `${width}: ${line}`)
      // Words are not broken, but stand in lines of their own.
      const words = fitted.replace(/[│\s]+/g, " ")
      const isList = !fitted.includes("┌")
      // The first column's values are a list's headings.
      const named = isList ? columns.slice(1) : columns
      for (const each of kept) if (named.includes(each)) t.match(words, each, `${width}`)
      const missing = named.filter((each) => !words.includes(each))
      t.equal(missing.length, 0, `${width}: ${missing.join()} neither shown nor named`)
      if (isList) t.notMatch(fitted, /--json/, "a list has everything")
    }
    t.end()
  })
}

t.test("every table of the commands has rows here, and is drawn in one place", (t) => {
  t.same(tables.map(([name]) => name).sort(), Object.keys(contents).sort())
  const cli = fileURLToPath(new URL("../../cli", import.meta.url))
  const files = readdirSync(cli, { recursive: true, encoding: "utf8" })
  const sources = files.filter((file) => file.endsWith(".ts"))
  const drawing = sources.filter((file) => readFileSync(join(cli, file), "utf8").includes("Table("))
  t.same(drawing, [join("terminal", "table.ts")])
  t.end()
})

type Four = Readonly<Record<"what" | "kept" | "less" | "least", string | number>>
const ranks = { what: 0, kept: 0, less: 1, least: 2 }
const columns = Object.entries(ranks).map(
  ([name, rank]): Column<Four> => ({
    name,
    rank,
    ...(name === "what" ? { left: true, least: 6 } : {}),
    text: (row) => row[name as keyof Four],
  }),
)
const one = { what: "a b c d", kept: 1, less: 22, least: 333 }

t.test("the columns of the highest rank go first, and are named", (t) => {
  t.notMatch(tableText({ columns }, [one], 37), /without/)
  const narrower = tableText({ columns }, [one], 31)
  t.match(narrower, /without least: 31 columns/)
  t.match(narrower, /less/)
  t.match(tableText({ columns }, [one], 23), /without less; least:/)
  const list = tableText({ columns: columns.map((c) => ({ ...c, rank: 0 })) }, [one], 26)
  t.equal(list, "a b c d\n  kept   1\n  less   22\n  least  333")
  t.end()
})

t.test("a cell is folded between words, and cut where it has none; indents stay", (t) => {
  t.same(folded("one two three", 8), ["one two", "three"])
  t.same(folded("abcdefghij k", 4), ["abcd", "efgh", "ij k"])
  t.same(folded("  in\nout", 20), ["  in", "out"])
  t.same(folded("一二三", 4), ["一二", "三"], "letters of two columns")
  t.end()
})

t.test("what a terminal would obey is escaped in cells", (t) => {
  const text = tableText({ columns }, [{ ...one, what: "\x1b[31mred\n\x9b2J\u202e" }], 80)
  t.match(text, "\\x1b[31mred \\x9b2J\\u202e")
  t.notMatch(text, /(?!\n)\p{Cc}|\p{Bidi_Control}/u)
  t.end()
})

t.test("the machine's line is folded too", (t) => {
  const machine = {
    ...{ cpu: "Some Processor Of Many Words", cores: 16, memoryBytes: 1e10, os: "linux" },
    ...{
      runtime: "node 24",
      bytesPerSecond: 3e10,
      flopsPerSecond: 2e11,
      build: "simd",
      threads: 2,
    },
  }
  const text = headline(machine, 40)
  t.ok(text.split("\n").every((line) => line.length <= 40))
  t.end()
})
