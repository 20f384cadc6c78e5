// Options that several commands share, under the headings by which a command's help has them.
import { type Command, InvalidArgumentError, Option } from "commander"
import { backendNames, type Feature, features } from "../backends/index.ts"
import { cacheDTypes, weightDTypes } from "../model/index.ts"
import { path, suggestion, whole } from "./arguments.ts"

/** Headings of options in a command's help, in this order. */
export const headings = {
  model: "Model:",
  text: "Text:",
  measurement: "Measurement:",
  machine: "Machine:",
  output: "Output:",
} as const

const featuresOf = (text: string): Feature[] =>
  text.split(",").map((name) => {
    const feature = features.find((known) => known === name)
    if (feature) return feature
    const near = suggestion(name, features)
    throw new InvalidArgumentError(`There is no ${name}${near}. There are: ${features.join(", ")}.`)
  })

export const dtypeOption = (text: string) =>
  new Option("--dtype <name>", `dtype of the weights${text}`)
    .choices([...weightDTypes])
    .helpGroup(headings.model)
export const cacheOption = () =>
  new Option("--cache <name>", "dtype of the key-value cache")
    .choices([...cacheDTypes])
    .default("f32")
    .helpGroup(headings.model)
export const repeatOption = (text: string, times: number) =>
  new Option("--repeat <n>", text)
    .argParser(whole(1))
    .default(times)
    .helpGroup(headings.measurement)
export const threadsOption = () =>
  new Option("--threads <n>", "threads, default the cores available to the process")
    .argParser(whole(1, 256))
    .helpGroup(headings.machine)

/** Where to run: what every command that opens a backend takes. */
export const machineOptions = (): Option[] => [
  new Option("--backend <name>", "where to run")
    .choices([...backendNames])
    .default("wasm")
    .helpGroup(headings.machine),
  new Option("--without <features>", `features of the GPU to leave off: ${features.join(", ")}`)
    .argParser(featuresOf)
    .helpGroup(headings.machine),
  threadsOption(),
  new Option("--no-revectorise", "leave V8's 256-bit operations off").helpGroup(headings.machine),
]

/** What `finish` goes by. */
export const jsonOption = () =>
  new Option(
    "--json [file]",
    "print the result as JSON and no table; with a file, write it there too",
  )
    .argParser(path)
    .helpGroup(headings.output)

/** Adds the options to the command, in the order of their headings. */
export function withOptions(command: Command, options: readonly Option[]): Command {
  const order: readonly (string | undefined)[] = Object.values(headings)
  const at = ({ helpGroupHeading }: Option): number => order.indexOf(helpGroupHeading)
  for (const option of [...options].sort((a, b) => at(a) - at(b))) command.addOption(option)
  return command
}
