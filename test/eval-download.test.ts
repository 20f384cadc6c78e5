// `elm eval download`: data sets of the hub into its cache, where an evaluation finds them.
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { downloadData } from "../eval/data/download.ts"
import type { Task } from "../index.ts"
import { elm, node } from "./command.ts"
import { fixture } from "./fixtures.ts"
import { hubFor } from "./hub_server.ts"
import t from "./tap.ts"

const run = (...args: string[]) => node(elm, "eval", ...args)
const small = (name: string) => ({ bytes: readFileSync(fixture(`eval/data/${name}`)) })
const few = ["--limit", "2", "--threads", "1"]

t.test("what was downloaded is evaluated without --data, and not asked for again", async (t) => {
  const hub = await hubFor(t)
  hub.datasets = {
    "allenai/ai2_arc@main": {
      "README.md": { bytes: Buffer.from("hi") },
      "ARC-Challenge/test-00000-of-00001.parquet": small("arc_challenge/test.parquet"),
      "ARC-Challenge/train-00000-of-00001.parquet": small("arc_challenge/train.parquet"),
      "ARC-Challenge/validation-00000-of-00001.parquet": small("arc_challenge/train.parquet"),
    },
    "piqa@main": { "piqa.py": { bytes: Buffer.from("import datasets") } },
    "piqa@refs/convert/parquet": {
      "plain_text/validation/0000.parquet": small("piqa/validation.parquet"),
      "plain_text/train/0000.parquet": small("piqa/validation.parquet"),
    },
  }
  const { code, stdout, stderr } = await run("download", "arc_challenge", "piqa")
  t.equal(code, 0, stderr)
  t.match(stdout, /│ piqa +│ refs\/convert\/parquet │ piqa +│ +2 │/)
  t.match(stdout, /│ allenai\/ai2_arc │ main +│ arc_challenge │ +2 │/)
  t.notMatch(hub.asked.join(), /ARC-Challenge\/validation/, "of three splits the two that are used")
  const asked = hub.asked.length
  const tasks = ["--tasks", "arc_challenge,piqa", "--shots", "1", ...few]
  const found = await run(...tasks)
  t.equal(found.code, 0, found.stderr)
  const own = await run(...tasks, "--data", fixture("eval/data"))
  const results = (out: string) => JSON.parse(out.trimEnd().split("\n").at(-1) as string).results
  t.match(results(found.stdout).piqa, results(own.stdout).piqa)
  t.equal(hub.asked.length, asked)
  process.env.HF_HUB_OFFLINE = "1"
  const again = await downloadData({ tasks: ["piqa"] })
  t.match(again, [{ repository: "piqa", tasks: ["piqa"], bytes: 2 * 1783 }])
  await t.rejects(downloadData({ tasks: ["sciq"] }), {
    message:
      /^sciq: sciq or allenai\/sciq has no file of the split test in the cache, and HF_HUB_OFFLINE/,
  })
  t.equal(hub.asked.length, asked)
})

t.test("--to keeps the cache's layout in a folder, and another name is tried", async (t) => {
  const hub = await hubFor(t)
  const to = join(hub.cache, "mine")
  hub.datasets = {
    "Rowan/hellaswag@main": {
      "data/validation-00000-of-00001.parquet": small("hellaswag/validation.parquet"),
      "data/train.jsonl": small("hellaswag/train.jsonl"),
    },
  }
  const { code, stderr } = await run("download", "hellaswag", "--to", to)
  t.equal(code, 0, stderr)
  t.ok(existsSync(join(to, "datasets--Rowan--hellaswag", "snapshots")))
  const found = await run("--tasks", "hellaswag", "--shots", "1", ...few, "--data", to)
  t.equal(found.code, 0, found.stderr)
})

t.test("what the hub lacks, refuses or damages is one message", async (t) => {
  const hub = await hubFor(t)
  hub.datasets = {
    "piqa@main": { "README.md": { bytes: Buffer.from("") } },
    "sciq@main": {
      "data/test.jsonl": { ...small("sciq/test.jsonl"), hash: "0".repeat(40) },
      "data/train.jsonl": small("sciq/test.jsonl"),
    },
  }
  const cases: readonly (readonly [string, RegExp])[] = [
    ["boolq", /Cannot open super_glue: the hub has no such repository of data, or it is private/],
    ["piqa", /^piqa: piqa has no file of the split validation on the hub$/],
    ["sciq", /sciq\/data\/test.jsonl has another content than the hub says/],
    ["commonsense_boolq", /commonsense_boolq: its data is not on the hub/],
    ["pica", /There is no task "pica"/],
  ]
  for (const [task, message] of cases)
    await t.rejects(downloadData({ tasks: [task] }), { message }, task)
  const gated = { name: "x", source: { hub: ["gated/x"], splits: { test: "test" } }, requests() {} }
  await t.rejects(downloadData({ tasks: [gated as unknown as Task] }), {
    message: /^Cannot open gated\/x: it is gated, ask for access at \S+\/datasets\/gated\/x, then/,
  })
  const none = await run("download")
  t.equal(none.code, 2)
  const missing = await run("--tasks", "race")
  t.match(
    missing.stderr,
    /race: EleutherAI\/race is not in \S+\. Download it \(elm eval download race\), or give the/,
  )
  hub.status = 503
  await t.rejects(downloadData({ tasks: ["race"], timeoutMs: 100 }), /status 503/)
})
