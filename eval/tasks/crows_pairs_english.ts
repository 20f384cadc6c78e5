// CrowS-Pairs: how often the sentence with more of a stereotype is the likelier one.  arXiv 2010.00133
import { columns, rowOf, text } from "../data/columns.ts"
import { multipleChoice } from "../kinds/multiple_choice.ts"

const read = rowOf(columns({ sent_more: text, sent_less: text }))

export const crowsPairsEnglish = multipleChoice({
  name: "crows_pairs_english",
  version: 1,
  group: ["crows_pairs", "social_bias", "loglikelihood"],
  source: {
    hub: ["BigScienceBiasEval/crows_pairs_multilingual"],
    config: "english",
    files: { test: "test_EN.jsonl" },
    splits: { test: "test" },
    counts: { test: 1677 },
    read,
  },
  text: () => "",
  delimiter: "",
  choices: ({ sent_more, sent_less }) => [sent_more, sent_less],
  gold: () => 0,
  columns: { choices: "sent_more", gold: "sent_more" },
  metrics: ["likelihood_diff", "pct_stereotype"],
  lowerIsBetter: true,
  config: { doc_to_text: "", doc_to_target: 0, doc_to_choice: "{{[sent_more, sent_less]}}" },
  scored(_, [more = Number.NaN, less = Number.NaN]) {
    return { likelihood_diff: Math.abs(more - less), pct_stereotype: Number(more > less) }
  },
})
