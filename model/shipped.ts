// The model that comes with the package.

/** Its folder, for `OpenELM.load`: five million parameters, trained on English of 1611 to 1885. */
export async function shippedModel(): Promise<string> {
  const { fileURLToPath } = await import("node:url")
  return fileURLToPath(new URL("../../models/small", import.meta.url))
}
