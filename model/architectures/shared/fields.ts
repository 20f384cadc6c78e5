// Fields of a config.json, read with one clear error each: what families of decoders have in common.
import type { DecoderConfig } from "../../architecture.ts"
import { checkEnds } from "../../generate/generation.ts"
import { checkNumber, type Json, show } from "../../json.ts"

/** Tokens that a file need not name. */
interface TokenDefaults {
  readonly bosId?: number
  readonly eosId: number
}

/** A reader of fields; all of it throws TypeError or RangeError that names `source` and the field. */
export function fieldsOf(json: Json, source: string) {
  const at = (field: string): string => `${source}: ${field}`
  return {
    /** Refuses fields that are there with another value than the one that this engine has. */
    fixed(values: Json): void {
      for (const [field, value] of Object.entries(values)) {
        if ((json[field] ?? value) === value) continue
        const found = `${at(field)} is ${show(json[field])}`
        throw new RangeError(`${found}, expected ${show(value)}. Use another model`)
      }
    },
    whole(field: string, most: number, otherwise?: number): number {
      const value = json[field] ?? otherwise
      checkNumber(at(field), value, 1, most, true)
      return value
    },
    real(field: string, from: number, to: number, otherwise?: number): number {
      const value = json[field] ?? otherwise
      checkNumber(at(field), value, from, to, false)
      return value
    },
    flag(field: string, otherwise: boolean): boolean {
      const value = json[field] ?? otherwise
      if (typeof value === "boolean") return value
      throw new TypeError(`${at(field)} is ${show(value)}, expected true or false`)
    },
    /** The model's name, or else its folder's, or else the family's. */
    name(family: string): string {
      const { model_name: given } = json
      return typeof given === "string" && given !== ""
        ? given
        : source.split(/[\\/]/).at(-2) || family
    },
    /** The tokens that begin and end texts, of a vocabulary of V. */
    ends(V: number, { bosId: first, eosId: last }: TokenDefaults) {
      const { bos_token_id: bosId = first, eos_token_id: ends = last } = json
      checkNumber(at("bos_token_id"), bosId ?? 0, 0, V - 1, true)
      const { eosId = last, eosIds } = checkEnds(at("eos_token_id"), ends ?? last, V)
      return {
        ...(typeof bosId === "number" ? { bosId } : {}),
        eosId,
        ...(Array.isArray(ends) && eosIds ? { eosIds } : {}),
      }
    },
    /** What is wrong with sizes that do not go together. */
    misfit: (sizes: string): RangeError =>
      new RangeError(`${source}: ${sizes} do not go together. Is it that of these weights?`),
  }
}

/** What `ends` reads, as it is written. */
export const endFields = ({ bosId, eosId, eosIds }: DecoderConfig) => ({
  bos_token_id: bosId ?? null,
  eos_token_id: eosIds ?? eosId,
})
