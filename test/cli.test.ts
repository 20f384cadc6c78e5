// The `elm` command from outside: output, exit codes, one message for each mistake; and that a
// process with a backend ends by itself.
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Ended, elm, endsOf, node } from "./command.ts"
import { goldenFolder } from "./fixtures.ts"
import t from "./tap.ts"

const index = new URL("../index.js", import.meta.url).href

const golden = goldenFolder()
const dir = mkdtempSync(join(tmpdir(), "openelm-cli-"))
t.teardown(() => {
  golden.remove()
  rmSync(dir, { recursive: true })
})

t.test("bench ends in one line of JSON with everything in it", async (t) => {
  const file = join(dir, "result.json")
  const sizes = ["--prompt", "5", "--generate", "8", "--repeat", "2", "--threads", "2"]
  const { code, stdout, stderr } = await node(
    elm,
    "bench",
    "--weights",
    golden.path,
    ...sizes,
    ...["--json", file, "--report", join(dir, "report")],
  )
  t.equal(code, 0)
  t.equal(stderr, "", "no progress where no one watches")
  const line = stdout.trimEnd().split("\n").at(-1) as string
  t.equal(readFileSync(file, "utf8"), `${line}\n`)
  const result = JSON.parse(line)
  t.equal(result.schema, "elm-bench/1")
  t.ok(result.machine.bytesPerSecond > 1e8 && result.machine.flopsPerSecond > 1e8)
  const [row] = result.rows
  t.match(row, { model: "tiny-a", backend: "wasm", dtype: "f32", threads: 2 })
  t.match(row, { promptTokens: 5, generatedTokens: 8, stepsPerToken: 6 * 4 + 4 })
  const numbers = ["promptTokensPerSecond", "generationTokensPerSecond", "totalTokensPerSecond"]
  const more = ["bandwidthFraction", "flopsFraction", "weightBytes", "peakMemoryBytes", "loadMs"]
  for (const key of [...numbers, ...more]) t.ok(row[key] > 0, key)
  t.match(stdout, /memory read .* GB\/s, multiply-add .* GFLOP\/s/)
  const written = (name: string) => readFileSync(join(dir, "report", name), "utf8")
  t.same(JSON.parse(written("results.json")), result)
  t.match(written("report.html"), /<h2>Throughput<\/h2>[\s\S]*<td>tiny-a f32<\/td>/)
  t.match(written("tables.md"), /### Throughput[\s\S]*\| tiny-a f32 \| \d/)
})

t.test("bench runs on js, in bf16, and with the paper's names beside it", async (t) => {
  const sizes = ["--prompt", "3", "--generate", "4", "--repeat", "1"]
  const rowOf = async (...how: string[]) => {
    const { code, stdout, stderr } = await node(
      elm,
      "bench",
      "--weights",
      golden.path,
      ...how,
      ...sizes,
    )
    t.equal(code, 0, stderr)
    return JSON.parse(stdout.trimEnd().split("\n").at(-1) as string).rows[0]
  }
  t.match(await rowOf("--backend", "js", "--dtype", "bf16"), { backend: "js", dtype: "bf16" })
  t.match(await rowOf("--dtype", "bf16"), { backend: "wasm", dtype: "bf16" })
})

t.test("bench ops prints a row for each case", async (t) => {
  const { code, stdout } = await node(
    elm,
    "bench",
    "ops",
    "--filter",
    "rmsNorm,softmax",
    "--threads",
    "1",
  )
  t.equal(code, 0)
  t.match(stdout, /rmsNorm N=1 D=1280 eps=0\.000001 .*│/)
  t.match(stdout, /rmsNorm N=2 D=4099 eps=0\.000001 .*│/)
  t.match(stdout, /GFLOP\/s/)
  const js = await node(elm, "bench", "ops", "--backend", "js", "--filter", "rmsNorm,sumRows")
  t.match(js.stdout, /sumRows/)
  t.notMatch(js.stdout, /rmsNorm/, "the js backend has plain kernels only")
})

t.test("bench start times what comes before a token, beside node itself", async (t) => {
  const { code, stdout, stderr } = await node(elm, "bench", "start", "--repeat", "1", "--json")
  t.equal(code, 0, stderr)
  const { schema, rows } = JSON.parse(stdout)
  t.equal(schema, "elm-bench-start/1")
  const whats = rows.map(({ what }: { what: string }) => what)
  t.same(whats.slice(0, 4), [
    "node -e 0",
    "import of the package",
    "pool of 1 thread",
    "pool of 2 threads",
  ])
  t.match(whats.at(-1), /first token of the package's model/)
  for (const { ratio, milliseconds } of rows) t.ok(ratio > 0 && milliseconds.median > 0)
  t.equal(rows[0].ratio, 1)
})

t.test("wrong usage exits with 2, other errors with 1, each with one message", async (t) => {
  const cases: readonly [string[], number, RegExp][] = [
    [["bench", "--model", "7B"], 2, /7B.*270M/s],
    [["bench", "--dtype", "int3"], 2, /There is no int3.*f32, f16, bf16/],
    [["bench", "--backend", "cuda"], 2, /cuda.*Allowed choices are wasm, webgpu, js/],
    [["bench", "--threads", "0"], 2, /whole number from 1/],
    [["bench", "--threads", "two"], 2, /whole number from 1/],
    [["bench", "--prompt", "0"], 2, /whole number from 1/],
    [["bench", "--generate", "1"], 2, /whole number from 2/],
    [["bench", "--repeat", "-3"], 2, /whole number from 1/],
    [["bench", "--seed", "4294967296"], 2, /whole number from 0/],
    [["bench", "--threads", "257"], 2, /whole number from 1 to 256/],
    [["bench", "--without", "magic"], 2, /shader-f16/],
    [["bench", "--without", "subgroups"], 2, /needs --backend webgpu, got wasm/],
    [["bench", "roofline", "--context", "4096"], 2, /whole number from 36 to 2048/],
    [["bench", "--speed"], 2, /unknown option '--speed'/],
    [["sing"], 2, /unknown command 'sing'/],
    [["bench", "--weights", join(dir, "nowhere")], 1, /nowhere/],
    [
      ["bench", "--weights", golden.path, "--prompt", "65"],
      2,
      /--prompt 65 and --generate 64 are more .*tiny-a holds: 64\. Use --prompt 62 with --generate 2/,
    ],
    [
      ["bench", "--weights", golden.path, "--prompt", "60", "--generate", "9"],
      2,
      /--prompt 60 and --generate 9 are more .*Use --generate 4 or less/,
    ],
    [
      ["bench", "--weights", golden.path, "--prompt", "35", "--generate", "21", "--explain"],
      2,
      /--explain, 9, are more .*Use --generate 20 or less/,
    ],
    [["bench", "--prompt", "999999"], 2, /--prompt 999999 .*holds: 2048\. Use --prompt 1984 with/],
    [["bench", "ops", "--filter", "sing"], 2, /There is no sing/],
    [["bench", "ops", "--filter", "rmsNrm"], 2, /There is no rmsNrm \(Did you mean rmsNorm\?\)/],
  ]
  const ends = await endsOf(cases.map(([args]) => args))
  for (const [i, [args, want, message]] of cases.entries()) {
    const { code, stderr } = ends[i] as Ended
    t.equal(code, want, args.join(" "))
    t.match(stderr, message)
    t.notMatch(stderr, /^\s+at /m, "no stack")
  }
  const lost = await node(elm, "bench", "--json", join(dir, "no", "x.json"))
  t.match(lost.stderr, /cannot write .*x\.json/, "before anything is measured")
  t.equal(lost.code, 1)
  const { stderr } = await node(elm, "--debug", "bench", "--weights", join(dir, "nowhere"))
  t.match(stderr, /^\s+at /m, "--debug prints the stack")
  const names = ["bench", "bench norms", "bench drive", "train", "generate"]
  for (const { code, stdout } of await endsOf(
    names.map((name) => [...name.split(" "), "--help"]),
  )) {
    t.equal(code, 0)
    t.match(stdout, /Usage: elm [\s\S]*--(backend|dtype) /)
  }
  t.equal((await node(elm, "--help")).code, 0)
  t.equal((await node(elm, "sing")).code, 2)
  t.match((await node(elm, "--version")).stdout, /^\d+\.\d+\.\d+\n$/)
})

const script = (body: string): string[] => [
  "--input-type=module",
  "-e",
  `import * as elm from ${JSON.stringify(index)}\n${body}`,
]

t.test("a process ends by itself", async (t) => {
  const use = `
    const backend = await elm.open("wasm", { threads: 3 })
    const model = await elm.OpenELM.load(${JSON.stringify(golden.path)}, { backend })
    for await (const { id } of model.generate([1, 2], { maxNewTokens: 3, stop: [] })) console.log(id)`
  const closed = await node(...script(`${use}\nmodel.close(); backend.close()`))
  t.same([closed.code, closed.stderr], [0, ""], "after close")
  const forgotten = await node(...script(use))
  t.same([forgotten.code, forgotten.stderr], [0, ""], "and when a script forgets it")
  t.equal(forgotten.stdout, closed.stdout)
})
