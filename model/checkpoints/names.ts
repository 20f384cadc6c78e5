// Names of tensors as different programs write them. Wrappers leave their own name on the path to a
// weight: torch.compile `_orig_mod.`, DataParallel `module.`, FSDP and activation checkpointing
// theirs; and exports of the whole model begin with `model.` or `transformer.`.

const prefixes = ["model", "transformer"]
const wrappers = ["module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"]

/** The name of `tensorShapes`: without prefixes in front, in any order and number, and without
 *  wrappers anywhere. No weight of OpenELM has a part of such a name. */
export function plainName(name: string): string {
  const parts = name.split(".").filter((part) => !wrappers.includes(part))
  while (prefixes.includes(parts[0] ?? "")) parts.shift()
  return parts.join(".")
}

/** Rotary tables and masks that some exports carry; they are computed here. */
export const isBuffer = (name: string): boolean => /(^|\.)(inv_freq|causal_mask)$/.test(name)
