// A process of `elm bench start`: does one thing that a program waits for, with nothing warm, and prints
// how many milliseconds that took.

const [what = "", threads = "1"] = process.argv.slice(2)
const begin = performance.now()
const { OpenELM, open, shippedModel } = await import("../../index.ts")
const imported = performance.now()

async function wait(): Promise<number> {
  if (what === "import") return imported - begin
  if (what === "pool") {
    await using _ = await open("wasm", { threads: Number(threads) })
    return performance.now() - imported
  }
  await using backend = await open("wasm")
  await using model = await OpenELM.load(await shippedModel(), { backend })
  for await (const _ of model.generate("It is a truth", { maxNewTokens: 1, stop: [] })) break
  return performance.now() - begin
}

console.log(await wait())
