// The model that comes with the package.
import { fromNode } from "../engine/index.ts"

/** Its folder, for `OpenELM.load`: five million parameters, trained on English of 1611 to 1885. */
export async function shippedModel(): Promise<string> {
  const { fileURLToPath } = fromNode("node:url")
  return fileURLToPath(new URL("../../models/small", import.meta.url))
}
