// Text from the model that comes with the package: node examples/generate.js "It is a truth"
import { fileURLToPath } from "node:url"
import { OpenELM, open } from "openelm"

const prompt = process.argv[2] ?? "It is a truth universally acknowledged"
await using backend = await open("wasm")
const folder = fileURLToPath(import.meta.resolve("openelm/models/small"))
await using model = await OpenELM.load(folder, { backend })

process.stdout.write(prompt)
for await (const { text } of model.generate(prompt, { maxNewTokens: 80, temperature: 0.8 })) {
  process.stdout.write(text)
}
console.log()
