// Text from the model that comes with the package: node examples/generate.js "It is a truth"
import { OpenELM, open, shippedModel } from "openelm"

const prompt = process.argv[2] ?? "It is a truth universally acknowledged"
const backend = await open("wasm")
const model = await OpenELM.load(await shippedModel(), { backend })

process.stdout.write(prompt)
for await (const { text } of model.generate(prompt, { maxNewTokens: 80, temperature: 0.8 })) {
  process.stdout.write(text)
}
console.log()
await model.close()
await backend.close()
