// The model of a command that generates: the flags that name it, and what is opened for them.
import { existsSync } from "node:fs"
import { join } from "node:path"
import { downloading, type Report } from "../../bench/measure/report.ts"
import {
  type LoadOptions,
  loadAdapter,
  OpenELM,
  shippedModel,
  type Tokenizer,
  treeOf,
} from "../../model/index.ts"
import { checkpointsIn } from "../../train/run/checkpoint.ts"
import { reporter } from "../terminal/progress.ts"
import { sayWhich } from "../terminal/which.ts"
import { path } from "./arguments.ts"
import { toggle, under, type ValuesOf, valued } from "./flags.ts"
import { openFor } from "./open.ts"
import { cache, folderDtype, headings, type machine } from "./options.ts"

export const modelFlags = {
  ...under(headings.model, {
    model: valued(
      "<folder>",
      "a model folder, a .pt or .gguf file, a URL, or a name on the hub (ORG/NAME[@REVISION]), " +
        "default the package's model",
      path,
    ),
    tokenizer: valued("<path>", 'another tokenizer than the folder\'s, or "byte"', path),
    adapter: valued("<folder>", "an adapter beside its weights, as PEFT writes them", path),
    anyBase: toggle("take an adapter that was made beside other weights than the model's"),
    assistantModel: valued("<folder>", "a smaller model, which guesses what comes", path),
    dtype: folderDtype,
    cache,
    hfAccessToken: valued(
      "<token>",
      "token of the hub for what is gated, default that of HF_TOKEN",
      (text: string) => text,
    ),
  }),
}

type Values = ValuesOf<typeof modelFlags & typeof machine>

/** What is open while a command works. */
export interface Opened {
  readonly model: OpenELM
  readonly tokenizer: Tokenizer
  /** The model that guesses, which needs no tokenizer: it reads the other's tokens. */
  readonly assistantModel: OpenELM | undefined
}

/** What `work` gives with the model that the flags name; it is closed after. */
export async function withModel<T>(
  flags: Values,
  work: (opened: Opened) => Promise<T>,
): Promise<T> {
  const { dtype, cache, tokenizer } = flags
  const folder = flags.model === undefined ? await shippedModel() : await modelIn(flags.model)
  const report = reporter()
  report("loading")
  try {
    await using backend = await openFor(flags)
    const loading = { ...hubOptions(flags, report), backend, cache }
    await using model = await OpenELM.load(folder, { ...loading, dtype, tokenizer })
    const { adapter, anyBase } = flags
    if (adapter !== undefined) await loadAdapter(model, adapter, { anyBase })
    report.done()
    if (!model.tokenizer) throw withoutTokenizer(folder)
    await sayWhich(tokenizer ?? folder, model.tokenizer)
    await using assistantModel = await assistantFor(flags, loading)
    return await work({ model, tokenizer: model.tokenizer, assistantModel })
  } finally {
    report.done()
  }
}

async function assistantFor({ assistantModel }: Values, loading: LoadOptions) {
  if (assistantModel === undefined) return undefined
  return OpenELM.load(await modelIn(assistantModel), { ...loading, tokenizer: null })
}

/** A token of the hub, as the original's command takes it, and what is said while files come. */
const hubOptions = ({ hfAccessToken }: Values, report: Report) => ({
  ...(hfAccessToken !== undefined && { token: hfAccessToken }),
  ...downloading(report),
})

function withoutTokenizer(folder: string): Error {
  const { remark } = treeOf(folder)
  const more = remark === undefined ? "" : `. ${remark}`
  return new Error(`${folder} has no tokenizer. Give one with --tokenizer PATH${more}`)
}

/** The folder itself, or the newest checkpoint of a run's. Throws Error where nothing is there. */
async function modelIn(folder: string): Promise<string> {
  // What is on no disk has no runs; loading it says what is wrong.
  if (treeOf(folder).path === undefined) return folder
  if (!existsSync(folder)) {
    throw new Error(
      `There is nothing at ${folder}. Give a model folder, or that of a run, by --model`,
    )
  }
  if (existsSync(join(folder, "config.json"))) return folder
  return (await checkpointsIn(folder)).at(-1) ?? folder
}
