// Flags that several commands share, each said once, under the headings by which a command's help has
// them. A command spreads what it takes of them into its own table.
import { backendNames, type Feature, features } from "../../backends/index.ts"
import { cacheDTypes, type WeightDType, weightDTypes } from "../../model/index.ts"
import { chosenOf, models, path, whole } from "./arguments.ts"
import { choice, type Flag, required, under, valued } from "./flags.ts"

/** Headings of flags in a command's help. */
export const headings = {
  run: "Run:",
  model: "Model:",
  text: "Text:",
  data: "Data:",
  optimization: "Optimization:",
  evaluation: "Evaluation:",
  measurement: "Measurement:",
  serving: "Serving:",
  machine: "Machine:",
  output: "Output:",
} as const

const featuresOf = (text: string): Feature[] => chosenOf(text, features, (name) => name)

/** --threads alone: of a command that chooses its backend itself. */
export const threads = under(headings.machine, {
  threads: valued("<n>", "threads, default the cores available to the process", whole(1, 256)),
})

/** Where to run: what every command that opens a backend takes. */
export const machine = under(headings.machine, {
  backend: choice("where to run", backendNames, "wasm"),
  without: valued(
    "<features>",
    `features of the GPU to leave off: ${features.join(", ")}`,
    featuresOf,
  ),
  ...threads,
  revectorize: { no: "leave V8's 256-bit operations off" } as Flag<boolean>,
})

/** How a measurement is printed: what `finish` goes by. */
export const json = under(headings.output, {
  json: valued<string | true>(
    "[file]",
    "print the result as JSON and no table; with a file, write it there too",
    path,
  ),
})

/** --dtype where a folder may say it. */
export const folderDtype = choice(
  "dtype of the weights, default f32 or what the folder holds",
  weightDTypes,
)
/** The same, several of them. */
export const dtypes: Flag<readonly WeightDType[] | undefined> = {
  ...valued<readonly WeightDType[]>(
    "<names>",
    "dtypes of the weights, several in turns, default f32 or what the folder holds",
    (text) => chosenOf(text, weightDTypes, (name) => name),
  ),
  choices: weightDTypes,
}
export const dtype = choice("dtype of the weights", weightDTypes, "bf16")
export const cache = choice("dtype of the key-value cache", cacheDTypes, "f32")

/** --model, where it names released sizes. */
export const sizes = (text: string, usual: readonly string[]) =>
  valued("<names>", text, models, usual, usual.join(","))

export const repeat = (text: string, times: number) => valued("<n>", text, whole(1), times)

/** --tokenizer of a command that has no model. */
export const tokenizer = required(
  valued("<path>", 'tokenizer.model, tokenizer.json, their folder, or "byte"', path),
)
