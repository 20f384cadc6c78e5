// Text from files and flags as a terminal may show it: a name or a sample could hold characters that
// move the cursor, colour or hide what follows, or turn the direction of a line.

/** Controls but tab and line feed, and Unicode's marks of direction. */
const unsafe = /(?![\t\n])[\p{Cc}\p{Bidi_Control}]/gu

const hex = (c: string, digits: number): string =>
  c.charCodeAt(0).toString(16).padStart(digits, "0")

/** The text with each of those as its escape, such as \x1b. */
export const printable = (text: string): string =>
  text
    .replace(/\r\n/g, "\n")
    .replace(unsafe, (c) => (c.charCodeAt(0) > 0xff ? `\\u${hex(c, 4)}` : `\\x${hex(c, 2)}`))

/** One line of JSON, with each of those as JSON has them: \u001b. */
export const jsonText = (value: object): string =>
  JSON.stringify(value).replace(unsafe, (c) => `\\u${hex(c, 4)}`)
