// The model that comes with the package.
import { pathOf } from "./files/source.ts"

/**
 * Its folder, for `OpenELM.load`: five million parameters, trained on English of 1611 to 1885. In a
 * browser a URL beside the package, which holds as long as no bundler has moved this file.
 */
export async function shippedModel(): Promise<string> {
  // Not in one expression, which bundlers take for the address of a file.
  const here = import.meta.url
  return pathOf(new URL("../../models/small", here))
}
