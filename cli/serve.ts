// `elm serve`: a model behind the OpenAI protocol, for programs that speak it and for a browser.
import { type Adapter, loadAdapter, printable } from "../model/index.ts"
import { createService, type Listening, listen, type Service } from "../serve/index.ts"
import { path, several, usageError, whole } from "./line/arguments.ts"
import { command } from "./line/command.ts"
import { under, type ValuesOf, valued } from "./line/flags.ts"
import { modelFlags, type Opened, withModel } from "./line/model.ts"
import { headings, machine } from "./line/options.ts"
import { whileRunning } from "./terminal/ending.ts"

const any = (text: string): string => text
const { assistantModel: _, adapter: __, ...ofModel } = modelFlags

const flags = {
  ...ofModel,
  ...under(headings.model, {
    adapter: valued<readonly string[]>(
      "<name=folder>",
      "an adapter that requests call by its name; several are given one by one",
      several(any),
    ),
    name: valued("<name>", "what requests call the model, default its own name", any),
  }),
  ...under(headings.serving, {
    host: valued("<host>", "where to listen", any, "127.0.0.1"),
    port: valued("<n>", "its port; 0 takes any that is free", whole(0, 65535), 8080),
    places: valued("<n>", "requests side by side in one batch", whole(1, 256), 8),
    queue: valued("<n>", "requests that wait, before others are refused", whole(0), 64),
    maxNewTokens: valued("<n>", "most new tokens of an answer, default as many as fit", whole(1)),
    timeout: valued("<seconds>", "most time of a request", whole(1, 2147483), 600),
    apiKey: valued<readonly string[]>(
      "<key>",
      "a key that requests must have, default those of ELM_API_KEY, separated by commas",
      several(any),
    ),
    cors: valued<readonly string[]>("<origin>", 'whose pages may ask; "*": all', several(path)),
  }),
  ...machine,
}

type Values = ValuesOf<typeof flags>

export const serve = command({
  name: "serve",
  description: "answer the OpenAI protocol: completions, chat, embeddings, a page to talk in",
  flags,
  after:
    "Ctrl-C takes no more requests and waits for those under way; twice, it does not wait.\n\n" +
    "Examples:\n" +
    "  elm serve --model apple/OpenELM-270M-Instruct\n" +
    "  ELM_API_KEY=secret elm serve --host 0.0.0.0 --port 80 --dtype q8 --places 16",
  async run(flags) {
    await withModel({ ...flags, adapter: undefined, assistantModel: undefined }, (opened) =>
      serveModel(opened, flags),
    )
  },
})

async function serveModel({ model }: Opened, flags: Values): Promise<void> {
  const { host, port, places, queue, maxNewTokens, timeout, cors, name } = flags
  const adapters = await adaptersOf(model, flags)
  const apiKeys = flags.apiKey ?? keysOf(process.env.ELM_API_KEY)
  const service = createService(model, {
    ...{ places, queue, timeoutSeconds: timeout, apiKeys, adapters },
    ...(name === undefined ? {} : { name }),
    ...(cors ? { cors } : {}),
    ...(maxNewTokens === undefined ? {} : { maxNewTokens }),
  })
  await service.warm()
  const listening = await listen(service, { host, port })
  const keys = apiKeys.length > 0 ? "" : ", without a key"
  console.error(
    printable(`${name ?? model.config.name} at ${listening.url}${keys}. Ctrl-C ends it`),
  )
  await untilStopped(service, listening)
}

const keysOf = (text = ""): string[] => text.split(",").filter((key) => key !== "")

/** Each of NAME=FOLDER; the model's own weights stay what is asked without one. */
async function adaptersOf(
  model: Opened["model"],
  { adapter = [], anyBase }: Pick<Values, "adapter" | "anyBase">,
) {
  const adapters: Record<string, Adapter> = {}
  for (const each of adapter) {
    const [, name = "", folder = ""] = /^([^=]+)=(.+)$/.exec(each) ?? []
    if (name === "") throw usageError(`--adapter is ${JSON.stringify(each)}, expected NAME=FOLDER`)
    adapters[name] = await loadAdapter(model, folder, { anyBase })
  }
  model.adapter = undefined
  return adapters
}

/** The first signal waits for what is under way; a second one ends the process. */
async function untilStopped(service: Service, listening: Listening): Promise<void> {
  await new Promise<void>((resolve) => {
    whileRunning(() => {
      console.error("Waiting for requests under way; once more does not wait")
      resolve()
    })
  })
  await Promise.all([service.close(), listening.close()])
  // It was asked to end, and has.
  process.exitCode = 0
}
