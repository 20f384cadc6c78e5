// Tokens, labels, orders, learning rates and samples of tuning against the original programs' (test/
// fixtures/tune), to the last one.
import { readFileSync } from "node:fs"
import { JsBackend } from "../backends/js/index.ts"
import { read, type Tensor, vjp } from "../engine/index.ts"
import {
  constant,
  cosineRate,
  instructionText,
  loadTokenizer,
  numpyPermutation,
  objectives,
  preferenceTexts,
  rankPairs,
  rejectionSample,
  tokenizePreference,
  torchPermutation,
} from "../index.ts"
import { rewardOf } from "../train/index.ts"
import { fixture, fixtureJson } from "./fixtures.ts"
import t from "./tap.ts"

const tokenizer = await loadTokenizer(fixture("data/tiny.model"))

t.test("records of preferences are the original's ids and labels", (t) => {
  const { text, settings, records } = fixtureJson("tune/preferences.json")
  const lines = readFileSync(fixture("tune/preferences.jsonl"), "utf8").trim().split("\n")
  t.same(
    lines.map((line) => JSON.parse(line)),
    records,
  )
  t.same(records.map(preferenceTexts), text)
  for (const { name, max_length, max_prompt_length, truncation_mode, rows } of settings) {
    const limits = {
      maxLength: max_length,
      maxPromptLength: max_prompt_length,
      truncation: truncation_mode,
    }
    for (const [i, want] of rows.entries()) {
      const { prompt, chosen, rejected } = tokenizePreference(records[i], tokenizer, limits)
      const got = {
        prompt_input_ids: prompt,
        chosen_input_ids: chosen.ids,
        chosen_labels: chosen.labels,
        rejected_input_ids: rejected.ids,
        rejected_labels: rejected.labels,
      }
      t.same(got, want, `${name}, record ${i}`)
    }
  }
  // A tokenizer that takes a rejected answer together with all of its prompt.
  const turns = (answer: string) => [
    { role: "user", content: "a" },
    { role: "assistant", content: answer },
  ]
  const merging = { encode: (text: string) => (/no/.test(text) ? [9, 9, 9, 9] : [5, 6, 7, 8]) }
  t.throws(
    () => tokenizePreference({ chosen: turns("yes"), rejected: turns("no") }, merging as never),
    { name: "RangeError", message: /the answers alter 3 tokens of their prompt, expected/ },
  )
  t.throws(() => tokenizePreference({ chosen: [], rejected: [] }, tokenizer), /no messages/)
  t.end()
})

t.test("orders and rates are those of the original trainers", (t) => {
  const { cosine, orders } = fixtureJson("tune/hf_schedule_and_order.json")
  for (const {
    num_training_steps: total,
    learning_rate: lr,
    warmup_ratio,
    lr_at_update,
  } of cosine) {
    for (const [i, want] of Object.entries<number>(lr_at_update)) {
      const got = cosineRate(Number(i), { lr, total, warmupRatio: warmup_ratio })
      t.ok(
        Math.abs(got - want) <= 1e-12 * Math.abs(want) + 1e-18,
        `update ${i} of ${total}: ${got}`,
      )
    }
  }
  for (const {
    seed,
    n,
    numpy_default_rng_permutation: once,
    torch_epoch_order: epochs,
  } of orders) {
    t.same(numpyPermutation(seed, n), once, `numpy, ${n}`)
    for (const [epoch, want] of epochs.entries()) {
      t.same(torchPermutation(seed + epoch, n), want, `torch, ${n}, epoch ${epoch}`)
    }
  }
  t.end()
})

t.test("answers are sampled and paired as the paper does", (t) => {
  const { sampling, refused, pairs, reward_from_pairwise_probability } =
    fixtureJson("tune/rso.json")
  for (const { case: name, rewards, num_samples: k, beta, accepted, uniforms, texts } of sampling) {
    let used = 0
    const uniform = () => uniforms[used++] as number
    const all = texts ?? rewards.map(String).map((_: string, i: number) => `answer ${i}`)
    t.same(rejectionSample({ texts: all, rewards, beta, k, uniform }), accepted, name)
    t.equal(used, uniforms.length, `${name}: uniforms`)
  }
  const few = { texts: ["a", "b"], rewards: refused.rewards, beta: refused.beta, k: 3 }
  t.throws(() => rejectionSample(few), /2 different candidates, 3 to be accepted/)
  for (const { rewards, order, first_round, tournament } of pairs) {
    t.same(rankPairs(rewards, order, "first_round"), first_round)
    t.same(rankPairs(rewards, order, "tournament"), tournament)
  }
  t.throws(() => rankPairs([1, 2, 3], [0, 1, 2], "first_round"), /no pairs/)
  for (const { p, r } of reward_from_pairwise_probability) {
    t.ok(Math.abs(rewardOf(p) - r) < 1e-12)
  }
  t.end()
})

t.test("losses of pairs and their gradients are the paper's", async (t) => {
  const backend = new JsBackend()
  for (const each of fixtureJson("tune/rso.json").losses) {
    const { loss, gamma, policy_w, policy_l, ref_w, ref_l } = each
    const [kind, norm] = loss.split("-")
    const objective = objectives.preference({ loss: kind, beta: gamma, reference: norm === "norm" })
    const B = 2 * policy_w.length
    const rows = {
      nll: constant(
        [...policy_w, ...policy_l].map((x: number) => -x),
        [B],
      ),
      lse: constant(new Float64Array(B), [B]),
      ignored: constant(new Float64Array(B), [B]),
      count: constant([B], [1]),
      given: constant([...ref_w, ...ref_l], [B]),
      meanLogit: () => constant(new Float64Array(B), [B]),
    }
    const { preference } = objective.loss(rows, { B, T: 1, V: 2 }) as { preference: Tensor }
    const name = `${loss}, γ ${gamma}`
    const got = (await read(preference, backend))[0] as number
    t.ok(Math.abs(got - each.mean) <= 2e-6 * Math.abs(each.mean) + 1e-12, `${name}: ${got}`)
    const [d] = vjp([preference], [constant([1], preference.shape)], [rows.nll])
    const want = [...each.dpolicy_w, ...each.dpolicy_l]
    const slope = d ? await read(d, backend) : new Float32Array(B)
    const off = Math.max(...want.map((x: number, i: number) => Math.abs(x + (slope[i] as number))))
    t.ok(off < 1e-6, `${name}: gradient off by ${off}`)
  }
})

t.test("instructions are CoreNet's text, to the space", (t) => {
  for (const { record, text, ids } of fixtureJson("tune/commonsense.json")) {
    t.equal(instructionText(record), text)
    t.same(tokenizer.encode(text, { bos: true, eos: true }), ids)
  }
  t.throws(() => instructionText({ instruction: "a" } as never), /output must be a text/)
  t.end()
})
