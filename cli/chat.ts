// `elm chat`: a conversation in the terminal, or by lines from another program. The answers go to the
// standard output, all else to the standard error.
import { existsSync, readFileSync } from "node:fs"
import { basename } from "node:path"
import { type LanguageModel, type PromptCache, printable } from "../model/index.ts"
import { usageError } from "./line/arguments.ts"
import { command } from "./line/command.ts"
import { under, type ValuesOf, valued } from "./line/flags.ts"
import { modelFlags, type Opened, withModel } from "./line/model.ts"
import { headings, machine } from "./line/options.ts"
import { promptCacheFlag, withPromptCache } from "./line/prompt_cache.ts"
import { asStream, defaultNewTokens, newSeed, sampledBy, samplingFlags } from "./line/sampling.ts"
import { Conversation } from "./terminal/conversation.ts"
import { type Act, runDialogue } from "./terminal/dialogue.ts"
import { linesOf } from "./terminal/lines.ts"

const any = (text: string): string => text

const flags = {
  ...modelFlags,
  ...under(headings.text, {
    system: valued("<text>", "what the system says before the conversation", any),
    chatTemplate: valued(
      "<name>",
      "a template of the model's folder by its name, or a file of one; default the folder's",
      any,
    ),
  }),
  ...promptCacheFlag,
  ...samplingFlags,
  ...machine,
}

type Values = ValuesOf<typeof flags>

export const chat = command({
  name: "chat",
  description: "talk with a model, whose answers go on from all that was said",
  flags,
  after:
    "* or what the model's generation_config.json says\n\n" +
    "/help lists what else may be typed. Ctrl-C stops an answer, twice leaves.\n\nExamples:\n" +
    '  elm chat --model apple/OpenELM-270M-Instruct --system "Answer in one sentence."\n' +
    "  elm chat --model my-model --temperature 0 < questions.txt",
  async run(flags) {
    await withModel(flags, (opened) =>
      withPromptCache(opened.model, flags.promptCache, (cache) => talk(opened, flags, cache)),
    )
  },
})

async function talk(
  { model, assistantModel }: Opened,
  flags: Values,
  cache: PromptCache,
): Promise<void> {
  const { system, maxNewTokens, chatTemplate } = flags
  if (flags.generateKwargs?.some(([name]) => name === "max_length")) {
    throw usageError("max_length counts the prompt, which grows. Use --max-new-tokens")
  }
  const { maxNewTokens: asked, ...sampling } = asStream(await sampledBy(flags, model, 0))
  const seed = flags.seed ?? newSeed()
  const options = {
    ...{ ...sampling, seed },
    ...(assistantModel ? { assistantModel } : {}),
    ...(chatTemplate === undefined ? {} : { chatTemplate: templateOf(chatTemplate) }),
  }
  const most = maxNewTokens ?? asked ?? model.config.generation?.maxNewTokens ?? defaultNewTokens
  const conversation = new Conversation(model, cache, options, most)
  if (system !== undefined) conversation.system = system
  await sayWhatItIs(model, flags)
  const lines = linesOf(process.stdin, process.stderr)
  try {
    await runDialogue(conversation, lines, acts)
  } finally {
    lines.close()
  }
  console.error(`${conversation.summary}; seed ${seed}`)
}

/** The text of a file, or the name of a template. */
const templateOf = (given: string): string =>
  existsSync(given) ? readFileSync(given, "utf8") : given

/** Says where an answer is not to be expected. */
async function sayWhatItIs(model: LanguageModel, flags: Values): Promise<void> {
  if (flags.model === undefined) {
    console.error("The package's own model was trained on novels, and on no conversation.")
  }
  if (flags.chatTemplate !== undefined || (await model.chatTemplates()).size > 0) return
  const { name } = model.config
  if (flags.model === undefined || /instruct|chat/i.test(`${name} ${basename(flags.model)}`)) return
  console.error(
    printable(
      `${name} has no chat template: messages are written as for OpenELM's instruct models. ` +
        "A model that was not trained on them goes on with the text",
    ),
  )
}

/** What may be typed in place of a message; what they return is said. */
const acts: Readonly<Record<string, Act>> = {
  reset: {
    help: "forget what was said, but for the system's message",
    run: (conversation) => {
      conversation.reset()
      return "Begun again"
    },
  },
  system: {
    argument: "TEXT",
    help: "what the system says; without a text, what it says now",
    run: (conversation, text) => {
      if (text !== "") conversation.system = text
      return conversation.system === "" ? "The system says nothing" : conversation.system
    },
  },
  save: {
    argument: "FILE",
    help: "write the conversation as JSON",
    run: async (conversation, path) => {
      await conversation.save(path)
      return `${conversation.messages.length} messages are in ${path}`
    },
  },
  load: {
    argument: "FILE",
    help: "go on with a conversation that was saved",
    run: (conversation, path) => {
      conversation.load(path)
      return `${conversation.messages.length} messages of ${path}`
    },
  },
}
