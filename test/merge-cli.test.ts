// `elm merge`, and an adapter by `--adapter`, from outside.
import { cpSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { addAdapter, createTrainStep, OpenELM, open, shippedModel } from "../index.ts"
import { type Ended, endsOf } from "./command.ts"
import t from "./tap.ts"

const dir = mkdtempSync(join(tmpdir(), "openelm-merge-"))
t.teardown(() => rmSync(dir, { recursive: true }))
const base = join(dir, "base")
cpSync(await shippedModel(), base, { recursive: true })

t.test("an adapter says beside the weights what it says in them", async (t) => {
  const backend = await open("wasm", { threads: 1 })
  const model = await OpenELM.load(base, { backend })
  const adapter = await addAdapter(model, { rank: 4, alpha: 8, targets: ["qkv_proj", "proj_2"] })
  const step = await createTrainStep(model, { adapter, weightDecay: 0 })
  const ids = model.tokenizer?.encode("All night the ferries went to and fro.", { bos: true }) ?? []
  for (let i = 0; i < 8; i++) await step([ids.slice(0, -1)], [ids.slice(1)], { lr: 1e-2 })
  await adapter.save(join(dir, "adapter"))
  const wanted = await model.complete("All night", { maxNewTokens: 6 })
  await step.close()
  await model.close()
  backend.close()

  const generating = ["--max-new-tokens", "6", "--temperature", "0", "--threads", "1"]
  const generate = ["generate", "All night", ...generating]
  const [merged, whole, beside, again, missing] = (await endsOf([
    ["merge", base, join(dir, "adapter"), join(dir, "merged"), "--threads", "1"],
    [...generate, "--model", join(dir, "merged")],
    [...generate, "--model", base, "--adapter", join(dir, "adapter")],
    ["merge", base, join(dir, "adapter"), join(dir, "merged")],
    [...generate, "--model", base, "--adapter", join(dir, "none")],
  ])) as [Ended, Ended, Ended, Ended, Ended]
  t.equal(merged.code, 0, merged.stderr)
  t.match(merged.stdout, /merged holds .* with its lora, 5\.\d+ M weights in f32/)
  t.equal(whole.code, 0, whole.stderr)
  t.equal(beside.stdout, whole.stdout)
  t.ok(beside.stdout.includes(wanted.text.trim()), beside.stdout)
  t.equal(again.code, 1)
  t.match(again.stderr, /merged is not empty/)
  t.equal(missing.code, 1)
  t.match(missing.stderr, /none/)
})
