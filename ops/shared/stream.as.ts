// Weights that are read once come from memory. Its prefetchers stop at the end of every page, where
// the address has to be translated anew as well. One load in each page of the second line of the
// page after the next starts both in time. More loads slow the stream down, a load of a page's
// first line does not help, and one close to the end of a page halves the rate.

const pageBytes: usize = 4096

/** Where to stop looking ahead in a stream that ends at `end`. */
// @ts-ignore: decorator
@inline
export function lookUntil(end: usize): usize {
  return end - 3 * pageBytes
}

/** Whether w is the first in its page of pieces of so many bytes. */
// @ts-ignore: decorator
@inline
export function isFirstInPage(w: usize, bytes: usize): bool {
  return (w & (pageBytes - 1)) < bytes
}

/** Loads a number of the page after the next, while w is below `until`; `spare` keeps it. */
// @ts-ignore: decorator
@inline
export function lookAhead(w: usize, until: usize, spare: usize): void {
  if (w < until) store<i32>(spare, load<i32>((w & ~(pageBytes - 1)) + 2 * pageBytes + 64))
}
