// Text from files and flags as a terminal may show it: a name or a sample could hold characters that
// move the cursor, colour or hide what follows, or turn the direction of a line.

/** Controls but tab and line feed, and Unicode's marks of direction. */
const unsafe = /(?![\t\n])[\p{Cc}\p{Bidi_Control}]/gu

/** The text with each of those as its escape, such as \x1b. */
export const printable = (text: string): string =>
  text.replace(/\r\n/g, "\n").replace(unsafe, (c) => {
    const code = c.charCodeAt(0).toString(16)
    return code.length > 2 ? `\\u${code.padStart(4, "0")}` : `\\x${code.padStart(2, "0")}`
  })
