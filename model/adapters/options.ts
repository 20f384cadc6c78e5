// What an adapter is asked for, checked, and which weights of a model it stands beside.
import { checkObject, checkWhole, kindOf } from "../../engine/index.ts"
import type { DecoderConfig } from "../architecture.ts"
import { checkNumber, show } from "../json.ts"
import { type Spec, specsOf } from "../weights/layout.ts"
import { type AdapterShare, sharesOf } from "./shares.ts"

/** LoRA, or DoRA, which learns the magnitude of each output beside its direction. */
export type AdapterKind = "lora" | "dora"

/** What an adapter is made with; defaults are those of the release's recipe. */
export interface AdapterOptions {
  /** Default "lora". */
  readonly kind?: AdapterKind
  /** r, columns of B and rows of A; default 32. */
  readonly rank?: number
  /** What is added counts alpha / r times; default 32. */
  readonly alpha?: number
  /** Counts it alpha / √r times.  Kalajdzievski 2023, arXiv 2312.03732.  Default false. */
  readonly rankStabilised?: boolean
  /** Part of the inputs of A that each training step leaves out; default 0. */
  readonly dropout?: number
  /** Names of modules, or what they end with after a dot; default the release's: qkv_proj, out_proj, proj_1,
   *  proj_2 and token_embeddings, or every linear layer of another family. */
  readonly targets?: readonly string[]
  /** Ranks and alphas of modules by regular expressions that their names end with, as PEFT has them. */
  readonly rankPattern?: Readonly<Record<string, number>>
  readonly alphaPattern?: Readonly<Record<string, number>>
  /** Of A's first values; default 0. */
  readonly seed?: number
}

/** The same with defaults. */
export interface AdapterConfig extends Required<AdapterOptions> {}

const known: readonly (keyof AdapterOptions)[] = [
  ...(["kind", "rank", "alpha", "rankStabilised", "dropout", "targets"] as const),
  ...(["rankPattern", "alphaPattern", "seed"] as const),
]

/** Options with defaults. Throws RangeError or TypeError naming the option. */
export function checkAdapterOptions(where: string, options: AdapterOptions): AdapterConfig {
  checkObject(`${where}: options`, options)
  const wrong = Object.keys(options).find((name) => !known.some((each) => each === name))
  if (wrong !== undefined) {
    throw new TypeError(
      `${where}: there is no option ${show(wrong)}. There are ${known.join(", ")}`,
    )
  }
  const { kind = "lora", rank = 32, alpha = 32, rankStabilised = false } = options
  const { dropout = 0, targets = [], rankPattern = {}, alphaPattern = {}, seed = 0 } = options
  if (kind !== "lora" && kind !== "dora") {
    throw new RangeError(`${where}: kind must be "lora" or "dora", got ${show(kind)}`)
  }
  if (typeof rankStabilised !== "boolean") {
    throw new TypeError(
      `${where}: rankStabilised must be true or false, got ${kindOf(rankStabilised)}`,
    )
  }
  checkRank(`${where}: rank`, rank)
  checkAlpha(`${where}: alpha`, alpha)
  checkNumber(`${where}: dropout`, dropout, 0, 0.999, false)
  checkWhole(`${where}: seed`, seed, 0, 0xffffffff)
  if (!Array.isArray(targets) || !targets.every((name) => typeof name === "string")) {
    throw new TypeError(`${where}: targets must be an array of names, got ${kindOf(targets)}`)
  }
  checkPattern(`${where}: rankPattern`, rankPattern, checkRank)
  checkPattern(`${where}: alphaPattern`, alphaPattern, checkAlpha)
  const patterns = { rankPattern, alphaPattern }
  return { kind, rank, alpha, rankStabilised, dropout, targets, ...patterns, seed }
}

const checkRank = (name: string, value: unknown): void => checkWhole(name, value, 1, 65536)
const checkAlpha = (name: string, value: unknown): void =>
  checkNumber(name, value, 1e-9, 1e9, false)

function checkPattern(
  name: string,
  pattern: Readonly<Record<string, unknown>>,
  check: (name: string, value: unknown) => void,
): void {
  checkObject(name, pattern)
  for (const [key, value] of Object.entries(pattern)) {
    regexpOf(name, key)
    check(`${name}: ${show(key)}`, value)
  }
}

function regexpOf(name: string, text: string): RegExp {
  try {
    // Without "u", as Python: what needs no backslash may have one.
    return new RegExp(`^(?:.*\\.)?(?:${text})$`)
  } catch {
    throw new RangeError(`${name}: ${show(text)} is no regular expression`)
  }
}

/** The value of the first expression that a module's name ends with, the whole published one or ours, else
 *  `usual`. */
function byPattern(
  { name, published }: AdapterShare,
  pattern: Readonly<Record<string, number>>,
  usual: number,
): number {
  const found = Object.entries(pattern).find(([text]) => {
    const expression = regexpOf("pattern", text)
    return expression.test(published) || expression.test(name)
  })
  return found?.[1] ?? usual
}

/** A module with an adapter beside it: a weight, or some rows of one. */
export interface Module extends AdapterShare {
  readonly spec: Spec
  readonly isTable: boolean
  readonly rank: number
  /** What B·A·x counts. */
  readonly scaling: number
}

const release = ["qkv_proj", "out_proj", "proj_1", "proj_2", "token_embeddings"]

const ends = (name: string, target: string): boolean =>
  name === target || name.endsWith(`.${target}`)

/** Targets that mean these modules of a model and no other: those given, or the modules themselves. */
export function targetsFor(
  config: DecoderConfig,
  names: readonly string[],
  given: readonly string[],
): readonly string[] {
  const own = specsOf(config)
    .filter(({ matrix }) => matrix)
    .flatMap((spec) => sharesOf(config, spec).map(({ name }) => name))
  const meant = own.filter((name) => given.some((target) => ends(name, target)))
  const isSame = meant.length === names.length && names.every((name) => meant.includes(name))
  return isSame ? given : names
}

/** The last parts of names, where these mean the modules and no other; else the names. */
export function endsFor(config: DecoderConfig, names: readonly string[]): readonly string[] {
  const last = [...new Set(names.map((name) => name.split(".").at(-1) as string))]
  return targetsFor(config, names, last)
}

/** The weights that an adapter stands beside, in the order of the state dict.  Throws RangeError for a
 *  target that no weight has, and for one that cannot have an adapter. */
export function modulesOf(
  where: string,
  config: DecoderConfig,
  adapter: AdapterConfig,
  embedding: string,
  head: string,
): Module[] {
  const specs = specsOf(config).filter(({ matrix }) => matrix)
  const all = specs.flatMap((spec) => sharesOf(config, spec).map((share) => ({ ...share, spec })))
  const isEnd = ({ name }: Spec): boolean => name === embedding || name === head
  const usual = release.every((target) => all.some(({ name }) => ends(name, target)))
    ? release
    : all.flatMap(({ name, spec }) => (isEnd(spec) ? [] : name))
  const targets = adapter.targets.length > 0 ? adapter.targets : usual
  const isMeant = ({ name, spec }: Pick<Module, "name" | "spec">, target: string): boolean =>
    ends(name, target) || ends(spec.name.replace(/\.weight$/, ""), target)
  for (const target of targets) {
    if (all.some((module) => isMeant(module, target))) continue
    const ending = [...new Set(all.map(({ name }) => name.split(".").at(-1)))]
    throw new RangeError(
      `${where}: no matrix of ${config.name} is called ${show(target)}. Its matrices are called ` +
        ending.join(", "),
    )
  }
  return all.flatMap((module): Module[] => {
    const { name, spec } = module
    if (!targets.some((target) => isMeant(module, target))) return []
    const isTable = spec.name === embedding
    if (spec.name === head && !isTable) {
      throw new RangeError(
        `${where}: ${name} gives the logits, and takes no adapter here. Leave it out of the targets`,
      )
    }
    const rank = byPattern(module, adapter.rankPattern, adapter.rank)
    const alpha = byPattern(module, adapter.alphaPattern, adapter.alpha)
    const scaling = alpha / (adapter.rankStabilised ? Math.sqrt(rank) : rank)
    return [{ ...module, isTable, rank, scaling }]
  })
}
