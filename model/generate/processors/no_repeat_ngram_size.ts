// No n tokens in a row twice, prompt and all.
import { numeric } from "./check.ts"

export const noRepeatNgramSize = numeric({
  field: "no_repeat_ngram_size",
  help: "no n tokens in a row twice, 0 for any",
  range: { from: 0, isWhole: true },
  change: (n) =>
    n === 0
      ? undefined
      : (scores, { ids }) => {
          const before = n - 1
          const from = ids.length - before
          for (let at = 0; at + before < ids.length; at++) {
            let same = 0
            while (same < before && ids[at + same] === ids[from + same]) same++
            if (same === before) scores[ids[at + before] as number] = -Infinity
          }
        },
})
