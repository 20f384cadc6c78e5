// Models of every family against the original implementations (test/fixtures/models, a folder each in the
// published layout): logits, hidden states, greedy tokens with and without the cache, what is saved.
import { mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { LanguageModel } from "../index.ts"
import { isBuffer, plainName } from "../model/checkpoints/names.ts"
import { architectureOf, openSafetensors, parameterCount } from "../model/index.ts"
import { allBackends, goldenBackends, relativeError } from "./backends.ts"
import { smallPart } from "./driver.ts"
import { fixture, fixtureJson, golden, goldenOf } from "./fixtures.ts"
import { collect } from "./small.ts"
import t from "./tap.ts"

const limit = 2e-5
/** Other layouts of the same graphs, which the small part walks on one backend. */
const twins = ["mobillama-1b", "mobillama-all-layers", "olmo-native", "opt-350m-decoder-prefix"]
/** As fractions of the largest logit: random weights of few columns, of which a block of 32 is most. */
const roughly = { bf16: 0.02, q8: 0.1, q4: 0.6 } as const
const dir = mkdtempSync(join(tmpdir(), "openelm-families-"))
t.teardown(() => rmSync(dir, { recursive: true }))

for (const name of readdirSync(fixture("models"))) {
  // One folder has names without the prefix that they are published with.
  const isShort = name.endsWith("decoder-prefix")
  const published = (tensor: string) => (isShort ? `model.${tensor}` : tensor)
  const original = (tensor: string) => (isShort ? tensor.replace(/^model\./, "") : tensor)
  const folder = fixture(`models/${name}`)
  const expected = fixtureJson(`models/${name}/expected.json`)
  const { input_ids: ids, prompt, greedy_tokens: tokens } = expected
  const backends = goldenBackends.filter(
    ({ label }) => smallPart === undefined || label === "js" || !twins.includes(name),
  )
  for (const { label, open } of backends) {
    t.test(`${name} on ${label} gives what the original gives`, async (t) => {
      const want = await golden(`models/${name}/expected.safetensors`)
      const backend = await open()
      t.teardown(() => backend.close())
      await using model = await LanguageModel.load(folder, { backend })
      const near = (got: ArrayLike<number>, golden: string) => {
        const error = relativeError(got, goldenOf(want, golden).values)
        t.ok(error < limit, `${golden} is off by ${error.toExponential(1)}`)
      }
      t.equal(parameterCount(model.config), expected.parameters)
      near(await model.logits(ids), "logits")
      const seen = await model.activations(ids)
      for (let i = 0; i < model.config.layers; i++) {
        const after = i + 1 < model.config.layers ? `blocks.${i + 1}.x` : "hidden"
        // One of two layouts of the same weights has them.
        if (want.has(`hidden.${i}`)) near(seen.get(after) ?? [], `hidden.${i}`)
      }
      t.same(
        await collect(model, prompt, { maxNewTokens: tokens.length }),
        tokens,
        "with the cache",
      )
      const all = await model.logits([[...prompt, ...tokens.slice(0, -1)]])
      const V = model.config.vocabSize
      near(all.subarray((prompt.length - 1) * V), "step_logits")
    })
  }

  for (const { label, open } of allBackends.slice(-1)) {
    t.test(`${name} on ${label} is near what the original gives in fewer bits`, async (t) => {
      const want = goldenOf(await golden(`models/${name}/expected.safetensors`), "logits")
      const backend = await open()
      t.teardown(() => backend.close())
      for (const [dtype, most] of Object.entries(roughly)) {
        await using model = await LanguageModel.load(folder, { backend, dtype: dtype as "q8" })
        const error = relativeError(await model.logits(ids), want.values)
        t.ok(error < most && error > limit, `${dtype} is off by ${error.toExponential(1)}`)
      }
    })
  }

  t.test(`${name} is saved as it is published`, async (t) => {
    const { open } = goldenBackends[0] as (typeof goldenBackends)[0]
    const backend = await open()
    t.teardown(() => backend.close())
    await using model = await LanguageModel.load(folder, { backend })
    const out = join(dir, name)
    await model.save(out)
    const [was, is] = [
      await openSafetensors(join(folder, "model.safetensors")),
      await openSafetensors(join(out, "model.safetensors")),
    ]
    const { copies = new Map(), ignored } =
      architectureOf(model.config).strays?.(model.config) ?? {}
    const isWeight = (tensor: string) =>
      !copies.has(plainName(tensor)) && !ignored?.test(tensor) && !isBuffer(tensor)
    const weights = new Map(
      [...was.tensors].filter(([tensor]) => isWeight(tensor)).map(([n, x]) => [published(n), x]),
    )
    t.same([...is.tensors.keys()].sort(), [...weights.keys()].sort(), "the same names, once each")
    for (const [tensor, { shape, bytes, dtype }] of weights) {
      const found = is.tensors.get(tensor)
      t.same([found?.shape, found?.dtype], [shape, dtype], tensor)
      const [a, b] = [new Uint8Array(bytes), new Uint8Array(bytes)]
      await was.read(original(tensor), 0, a)
      await is.read(tensor, 0, b)
      t.ok(Buffer.from(a).equals(Buffer.from(b)), `${tensor} to the bit`)
    }
    await was.close()
    await is.close()
    await using again = await LanguageModel.load(out, { backend })
    t.same(again.config, { ...model.config, name: again.config.name })
    t.same(await again.logits(ids), await model.logits(ids))
  })
}
