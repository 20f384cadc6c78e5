// The command line as a whole: the list of every command of `elm`, and how it says what is wrong.
import { Command as Commander, CommanderError } from "commander"
import { printable, systemFault } from "../model/index.ts"
import { average } from "./average.ts"
import { compare } from "./bench/compare.ts"
import { drive } from "./bench/drive.ts"
import { norms } from "./bench/norms.ts"
import { ops } from "./bench/ops.ts"
import { perplexity } from "./bench/perplexity.ts"
import { roofline } from "./bench/roofline.ts"
import { scale } from "./bench/scale.ts"
import { scores } from "./bench/scores.ts"
import { serve as serveClients } from "./bench/serve.ts"
import { start } from "./bench/start.ts"
import { sweep } from "./bench/sweep.ts"
import { table } from "./bench/table.ts"
import { throughput } from "./bench/throughput.ts"
import { train as trainSteps } from "./bench/train.ts"
import { chat } from "./chat.ts"
import { completion } from "./completion.ts"
import { convert } from "./convert.ts"
import { compare as compareEvaluations } from "./eval/compare.ts"
import { curve } from "./eval/curve.ts"
import { download } from "./eval/download.ts"
import { run as evaluate } from "./eval/run.ts"
import { generate } from "./generate.ts"
import { info } from "./info.ts"
import { type Command, group } from "./line/command.ts"
import { merge } from "./merge.ts"
import { quantize } from "./quantize.ts"
import { serve } from "./serve.ts"
import { dashed, debug, debugFlag } from "./terminal/invocation.ts"
import { decode } from "./tokenizer/decode.ts"
import { encode } from "./tokenizer/encode.ts"
import { train as learn } from "./tokenizer/train.ts"
import { train } from "./train.ts"
import { dpo } from "./tune/dpo.ts"
import { reward } from "./tune/reward.ts"
import { rso } from "./tune/rso.ts"
import { sft } from "./tune/sft.ts"

/** In the order in which help and completion have them. One more is a file of its own, and a line here. */
export const commands: readonly Command[] = [
  group({
    name: "bench",
    description: "measure throughput by the paper's protocol",
    byDefault: throughput,
    commands: [
      table,
      norms,
      trainSteps,
      perplexity,
      ops,
      start,
      roofline,
      drive,
      compare,
      sweep,
      scores,
      serveClients,
      scale,
    ],
  }),
  quantize,
  convert,
  info,
  train,
  average,
  group({
    name: "tune",
    description: "fine-tune a model: adapters beside its weights, or the weights themselves",
    commands: [sft, dpo, reward, rso],
  }),
  merge,
  group({
    name: "eval",
    description: "evaluate a model as the paper does",
    byDefault: evaluate,
    commands: [compareEvaluations, curve, download],
  }),
  generate,
  chat,
  serve,
  group({
    name: "tokenizer",
    description: "learn a vocabulary from text, encode and decode with one",
    commands: [learn, encode, decode],
  }),
  completion,
]

/** Throws CommanderError for wrong usage, where it has printed what is wrong. */
export function elmProgram(version: string, all = commands): Commander {
  const program = new Commander("elm")
    .description("OpenELM in TypeScript on WebAssembly SIMD and WebGPU")
    .version(version)
    .exitOverride()
    .showHelpAfterError("(elm --help lists the options)")
    .configureOutput({ outputError: (text, write) => write(printable(text)) })
  for (const each of all) each.addTo(program)
  addDebug(program)
  return program
}

/** --debug in the help of every command, wherever it is typed. */
function addDebug(command: Commander): void {
  command.option(debugFlag, "print stack traces, and how tiles were chosen")
  command.commands.forEach(addDebug)
}

/** Runs the command. Errors are one message: exit code 2 for wrong usage, 1 for the rest; --debug adds
 *  the stack, and what was chosen by measuring.
 *  @param argv As process.argv has it */
export async function perform(argv: readonly string[], version: string): Promise<void> {
  try {
    await elmProgram(version).parseAsync(dashed(argv))
  } catch (error) {
    if (error instanceof CommanderError) {
      // Commander has printed its own message; help and version are no errors.
      if (error.code === "elm.usage") console.error(printable(error.message))
      process.exitCode = error.exitCode === 0 ? 0 : 2
    } else {
      const { message, stack } = error instanceof Error ? error : new Error(String(error))
      console.error(printable(debug && stack ? stack : (systemFault(error) ?? message)))
      process.exitCode = 1
    }
  }
}
