// `elm bench --against`: this engine and others on the same model and the same work, in turns. A peer whose
// greedy tokens differ in f32 computes something else, and is refused.
import { join } from "node:path"
import { setTimeout } from "node:timers/promises"
import type { OpenBackend } from "../../backends/index.ts"
import {
  convert,
  type DecoderConfig,
  inTemporaryFolder,
  LanguageModel,
  type WeightDType,
  type WrittenFormat,
} from "../../model/index.ts"
import type { Described } from "../measure/described.ts"
import { promptOf } from "../measure/lengths.ts"
import { type Repeat, ratesOf } from "../measure/repeats.ts"
import type { Report } from "../measure/report.ts"
import { type Spread, spreadOf } from "../measure/statistics.ts"
import { time } from "../measure/throughput.ts"
import type { Throughput } from "../tables/paper.ts"
import { nodeLlamaCpp } from "./llama.ts"
import { onnxruntimeNode, onnxruntimeWeb } from "./onnxruntime.ts"
import { importOf, installedPackage, type Peer, type PeerModel } from "./peer.ts"

/** One more is a file, and a line here. */
export const peers: readonly Peer[] = [onnxruntimeNode, onnxruntimeWeb, nodeLlamaCpp]

/** A package that is there. */
interface InstalledPeer {
  readonly peer: Peer
  readonly version: string
  readonly module: unknown
}

export interface AgainstOptions {
  /** A folder instead of seeded random weights of the config. */
  readonly weights: string | undefined
  readonly config: DecoderConfig
  readonly dtypes: readonly WeightDType[]
  /** A tokenizer for formats that have to have one, where the weights are random. */
  readonly tokenizer: string
  readonly prompt: number
  readonly generate: number
  readonly repeat: number
  readonly seed: number
}

export interface AgainstRow {
  readonly program: string
  readonly version: string
  readonly model: string
  readonly dtype: string
  readonly threads: number
  readonly promptTokens: number
  readonly generatedTokens: number
  readonly promptSpread: Spread
  readonly generationSpread: Spread
  /** This engine's rate over the peer's of the same turn: medians; 1 for this engine. */
  readonly promptRatio: number
  readonly generationRatio: number
  /** Every repeat, in order. */
  readonly repeats: readonly Repeat[]
}

/** The packages of these names. Throws Error that says how to install one that is not there. */
export async function installed(names: readonly string[]): Promise<InstalledPeer[]> {
  const found = names.map((name) => {
    const peer = peers.find((each) => each.name === name) as Peer
    return { peer, place: installedPackage(name) }
  })
  const opened: InstalledPeer[] = []
  for (const { peer, place } of found) {
    opened.push({ peer, version: place.version, module: await importOf(place) })
  }
  return opened
}

/** Tokens whose agreement shows that the same is computed. */
const agreeing = 8
/** Tokens that each generates at its turn before it is timed. */
const warming = 2
/** Until the threads of whoever ran before have gone to sleep. */
const pauseMs = 150

interface Work {
  readonly backend: OpenBackend & Described
  readonly options: AgainstOptions
  readonly files: PeerFiles
  readonly report: Report
}

/** Checks each peer in f32, then measures dtype by dtype. */
export async function benchAgainst(
  backend: OpenBackend & Described,
  others: readonly InstalledPeer[],
  options: AgainstOptions,
  report: Report,
): Promise<AgainstRow[]> {
  return await inTemporaryFolder("elm-against-", async (folder) => {
    const files = await PeerFiles.open(folder, backend, options, report)
    const work = { backend, options, files, report }
    await checkAgreement(others, work)
    const rows: AgainstRow[] = []
    for (const dtype of options.dtypes) rows.push(...(await measure(dtype, others, work)))
    return rows
  })
}

/** The model in the formats that peers read, each written when it is first asked for. */
class PeerFiles {
  readonly #folder: string
  readonly #source: string
  readonly #options: AgainstOptions
  readonly #report: Report
  readonly #written = new Map<string, Promise<unknown>>()

  private constructor(folder: string, source: string, options: AgainstOptions, report: Report) {
    this.#folder = folder
    this.#source = source
    this.#options = options
    this.#report = report
  }

  static async open(
    folder: string,
    backend: OpenBackend,
    options: AgainstOptions,
    report: Report,
  ): Promise<PeerFiles> {
    const { weights, config, seed } = options
    if (weights !== undefined) return new PeerFiles(folder, weights, options, report)
    report("writing the model")
    await using model = await LanguageModel.random(config, { backend, seed, capacity: 1 })
    const source = join(folder, "source")
    await model.save(source)
    return new PeerFiles(folder, source, options, report)
  }

  get source(): string {
    return this.#source
  }

  async path(to: WrittenFormat, dtype: WeightDType): Promise<string> {
    const path = join(this.#folder, `${dtype}.${to}`)
    const { weights, tokenizer } = this.#options
    const more = weights === undefined && to === "gguf" ? { tokenizer } : {}
    const onProgress = (done: number, all: number) =>
      this.#report(`writing ${to} in ${dtype}`, done / all)
    const known = this.#written.get(path)
    const writing = known ?? convert(this.#source, path, { to, dtype, onProgress, ...more })
    this.#written.set(path, writing)
    await writing
    return path
  }
}

const capacityOf = ({ prompt, generate }: AgainstOptions): number =>
  prompt + Math.max(generate, agreeing)

async function openPeer(
  { peer, module }: InstalledPeer,
  dtype: WeightDType,
  { backend: { threads = 1 }, options, files }: Work,
): Promise<PeerModel> {
  const path = await files.path(peer.format, dtype)
  return peer.open(path, module, { config: options.config, threads, capacity: capacityOf(options) })
}

const openOwn = (dtype: WeightDType, { backend, options, files }: Work): Promise<LanguageModel> =>
  LanguageModel.load(files.source, {
    ...{ backend, dtype, tokenizer: null, capacity: capacityOf(options) },
  })

/** Throws Error naming the peer whose tokens differ. */
async function checkAgreement(others: readonly InstalledPeer[], work: Work): Promise<void> {
  const { options } = work
  const prompt = promptOf(options.prompt, options.config)
  const want: number[] = []
  {
    await using own = await openOwn("f32", work)
    const how = { maxNewTokens: agreeing, temperature: 0, stop: [] }
    for await (const { id } of own.generate(prompt, how)) want.push(id)
  }
  for (const other of others) {
    const { name } = other.peer
    work.report(`${name} in f32`)
    const model = await openPeer(other, "f32", work)
    const { tokens } = await model.generate(prompt, agreeing).finally(() => model.close())
    if (tokens.join() === want.join()) continue
    throw new Error(
      `${name} ${other.version} computes something else: in f32 its greedy tokens are ` +
        `${tokens.join(", ")}, this engine's ${want.join(", ")}. Leave it out`,
    )
  }
}

/** A program that is ready to be timed. */
interface Runner {
  readonly program: string
  readonly version: string
  run(count: number): Promise<Throughput>
  close(): Promise<void>
  readonly rates: Throughput[]
}

async function measure(
  dtype: WeightDType,
  others: readonly InstalledPeer[],
  work: Work,
): Promise<AgainstRow[]> {
  const { options, report } = work
  const able = others.filter(({ peer }) => peer.dtypes.includes(dtype))
  const runners: Runner[] = []
  try {
    runners.push(await ownRunner(dtype, work))
    for (const other of able) runners.push(await peerRunner(other, dtype, work))
    for (const { run } of runners) await run(options.generate)
    for (let i = 0; i < options.repeat; i++) {
      // Nobody always goes first.
      const turn = i % 2 === 0 ? runners : runners.toReversed()
      for (const { program, run, rates } of turn) {
        report(`${program} in ${dtype}`, i / options.repeat)
        await setTimeout(pauseMs)
        // Its weights, not those of the one before, are in the caches then, and its threads awake.
        await run(warming)
        rates.push(await run(options.generate))
      }
    }
  } finally {
    for (const { close } of runners) await close()
  }
  return runners.map((runner) => rowOf(runner, runners[0] as Runner, dtype, work))
}

async function ownRunner(dtype: WeightDType, work: Work): Promise<Runner> {
  const model = await openOwn(dtype, work)
  const { prompt, config } = work.options
  const ids = promptOf(prompt, config)
  return {
    ...{ program: "openelm", version: "", rates: [], close: () => model.close() },
    run: async (generate) => ratesOf(await time(model, ids, generate), { prompt, generate }),
  }
}

async function peerRunner(other: InstalledPeer, dtype: WeightDType, work: Work): Promise<Runner> {
  const model = await openPeer(other, dtype, work)
  const { prompt, config } = work.options
  const ids = promptOf(prompt, config)
  return {
    ...{ program: other.peer.name, version: other.version, rates: [], close: () => model.close() },
    run: async (generate) => ratesOf(await model.generate(ids, generate), { prompt, generate }),
  }
}

function rowOf(
  { program, version, rates }: Runner,
  own: Runner,
  dtype: WeightDType,
  { backend: { threads = 1 }, options }: Work,
): AgainstRow {
  const spread = (name: keyof Throughput) => spreadOf(rates.map((each) => each[name]))
  const ratio = (name: keyof Throughput): number =>
    spreadOf(rates.map((each, i) => (own.rates[i] as Throughput)[name] / each[name])).median
  return {
    ...{ program, version, model: options.config.name, dtype, threads },
    ...{ promptTokens: options.prompt, generatedTokens: options.generate },
    ...{ promptSpread: spread("prompt"), generationSpread: spread("generation") },
    ...{ promptRatio: ratio("prompt"), generationRatio: ratio("generation") },
    repeats: rates.map((each) => ({ ...each })),
  }
}
