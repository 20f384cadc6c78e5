// Sizes of what a batch of requests reads and steps by: few, so that no plan is made while others wait.

/** Tokens of a prompt that are read between two tokens of the others. */
export const chunk = 64

/** Prompts are read in pieces of these lengths. */
const lengths = [1, 2, 4, 8, 16, 24, 32, 40, 48, 56, chunk]

/** Those that a cache has room for. */
export const lengthsIn = (capacity: number): number[] =>
  lengths.filter((length) => length <= capacity)

/** The length that so many tokens are padded to. */
export const padded = (count: number): number => lengths.find((length) => length >= count) ?? count

/** Sizes that steps are recorded for: powers of two, and all. */
export function widthsOf(places: number): number[] {
  const powers: number[] = []
  for (let width = 1; width < places; width *= 2) powers.push(width)
  return [...powers, places]
}
