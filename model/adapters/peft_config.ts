// PEFT's adapter_config.json as options, and options as that file. What it may say that this engine has not is
// refused by name, what changes nothing is passed over.  github.com/huggingface/peft
import { checkNumber, isObject, type Json, show } from "../json.ts"
import type { AdapterConfig, AdapterOptions } from "./options.ts"

/** Fields that alter what is computed, wherever they are not empty. */
const altering: ReadonlySet<string> = new Set([
  ...["alora_invocation_tokens", "arrow_config", "layer_replication", "lora_bias"],
  ...["target_parameters", "trainable_token_indices", "use_bdlora", "use_qalora"],
])

const isNothing = (value: unknown): boolean =>
  value === null ||
  value === false ||
  (typeof value === "object" && Object.keys(value).length === 0)

/** Starts that put another base in the place of the model's, which is not in the adapter's file. */
const residual = /^(pissa|olora|corda|loftq|lora_ga)/i

/** PEFT's config as options. Throws TypeError and RangeError naming the field. */
export function peftConfig(json: unknown, source: string): AdapterOptions {
  if (!isObject(json)) throw new TypeError(`${source} is ${show(json)}, expected an object`)
  const refuse = (name: string, expected: string): never => {
    throw new RangeError(`${source}: ${name} is ${show(json[name])}, expected ${expected}`)
  }
  if (json.peft_type !== "LORA") refuse("peft_type", '"LORA"')
  if ((json.bias ?? "none") !== "none") refuse("bias", '"none": biases are not trained here')
  for (const [name, value] of Object.entries(json)) {
    if (altering.has(name) && !isNothing(value)) {
      refuse(name, "none: it would alter what the adapter means")
    }
  }
  const { init_lora_weights: start } = json
  if (typeof start === "string" && residual.test(start)) {
    refuse(
      "init_lora_weights",
      "a start that leaves the base weights as they are. Let PEFT convert it",
    )
  }
  const others = json.modules_to_save
  if (Array.isArray(others) ? others.length > 0 : (others ?? null) !== null) {
    refuse("modules_to_save", "none: whole modules are no adapter")
  }
  const number = (
    name: string,
    usual: number,
    from: number,
    to: number,
    whole: boolean,
  ): number => {
    const value = json[name] ?? usual
    checkNumber(`${source}: ${name}`, value, from, to, whole)
    return value
  }
  const flag = (name: string): boolean => {
    const value = json[name] ?? false
    if (typeof value === "boolean") return value
    throw new TypeError(`${source}: ${name} is ${show(value)}, expected true or false`)
  }
  const pattern = (name: string): Record<string, number> => {
    const value = json[name] ?? {}
    if (!isObject(value)) refuse(name, "an object")
    for (const [key, each] of Object.entries(value as Json)) {
      checkNumber(`${source}: ${name}: ${show(key)}`, each, 1e-9, 1e9, false)
    }
    return value as Record<string, number>
  }
  const targets = json.target_modules
  return {
    kind: flag("use_dora") ? "dora" : "lora",
    rank: number("r", 8, 1, 65536, true),
    alpha: number("lora_alpha", 8, 1e-9, 1e9, false),
    rankStabilised: flag("use_rslora"),
    dropout: number("lora_dropout", 0, 0, 0.999, false),
    rankPattern: pattern("rank_pattern"),
    alphaPattern: pattern("alpha_pattern"),
    targets: Array.isArray(targets) ? targets.map(String) : [],
  }
}

/** adapter_config.json as PEFT writes it. */
export function peftJson(config: AdapterConfig, base: string, targets: readonly string[]): Json {
  return {
    alpha_pattern: config.alphaPattern,
    auto_mapping: null,
    base_model_name_or_path: base,
    bias: "none",
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    layers_pattern: null,
    layers_to_transform: null,
    lora_alpha: config.alpha,
    lora_dropout: config.dropout,
    modules_to_save: null,
    peft_type: "LORA",
    r: config.rank,
    rank_pattern: config.rankPattern,
    revision: null,
    target_modules: [...targets].sort(),
    task_type: "CAUSAL_LM",
    use_dora: config.kind === "dora",
    use_rslora: config.rankStabilised,
  }
}
