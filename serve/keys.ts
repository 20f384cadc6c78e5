// API keys, compared in a time that says nothing of them: as hashes of equal length, all of each, and all
// that there are.
const hashOf = async (text: string): Promise<Uint8Array> =>
  new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)))

export async function isKnownKey(given: string, keys: readonly string[]): Promise<boolean> {
  const [mine, ...all] = await Promise.all([given, ...keys].map(hashOf))
  let isKnown = false
  for (const each of all) {
    let difference = 0
    for (const [i, byte] of each.entries()) difference |= byte ^ ((mine as Uint8Array)[i] as number)
    isKnown = difference === 0 || isKnown
  }
  return isKnown
}
