// The one list of what changes logits before a token is chosen, in the order in which it does.
// One more is a file and a line here; options, generation_config.json and flags follow.
import { badWords } from "./bad_words.ts"
import { beginSuppressTokens } from "./begin_suppress_tokens.ts"
import { epsilonCutoff } from "./epsilon_cutoff.ts"
import { etaCutoff } from "./eta_cutoff.ts"
import { exponentialDecayLengthPenalty } from "./exponential_decay_length_penalty.ts"
import { forcedEosTokenId } from "./forced_eos_token_id.ts"
import { frequencyPenalty } from "./frequency_penalty.ts"
import { logitBias } from "./logit_bias.ts"
import { minLength } from "./min_length.ts"
import { minNewTokens } from "./min_new_tokens.ts"
import { minP } from "./min_p.ts"
import { noRepeatNgramSize } from "./no_repeat_ngram_size.ts"
import { presencePenalty } from "./presence_penalty.ts"
import { renormalizeLogits } from "./renormalize_logits.ts"
import { repetitionPenalty } from "./repetition_penalty.ts"
import { sequenceBias } from "./sequence_bias.ts"
import { suppressTokens } from "./suppress_tokens.ts"
import { temperature } from "./temperature.ts"
import { topK } from "./top_k.ts"
import { topP } from "./top_p.ts"
import { typicalP } from "./typical_p.ts"

export const processors = {
  logitBias,
  sequenceBias,
  repetitionPenalty,
  frequencyPenalty,
  presencePenalty,
  noRepeatNgramSize,
  badWords,
  minLength,
  minNewTokens,
  forcedEosTokenId,
  exponentialDecayLengthPenalty,
  suppressTokens,
  beginSuppressTokens,
  // These draw from fewer; the rest of the list before them counts always.
  temperature,
  topK,
  topP,
  minP,
  typicalP,
  epsilonCutoff,
  etaCutoff,
  renormalizeLogits,
}
