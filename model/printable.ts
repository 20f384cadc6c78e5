// Text from files, flags and models as a terminal may show it: a name or a sample could hold characters
// that move the cursor, colour or hide what follows, or turn the direction of a line.

/** Controls but tab and line feed, and Unicode's marks of direction. */
const steering = /(?![\t\n])[\p{Cc}\p{Bidi_Control}]/gu
/** Those, ends of lines, and everything else that is not seen, such as joiners. */
const unseen = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

const hex = (unit: string, digits: number): string =>
  unit.charCodeAt(0).toString(16).padStart(digits, "0")

const asJson = (character: string): string =>
  character
    .split("")
    .map((unit) => `\\u${hex(unit, 4)}`)
    .join("")

/** The text with an escape for each of those. `lines`: a text, whose lines and joiners stay; \x1b. `line`:
 *  a name, or JSON, within a line, where nothing is unseen, and escapes are JSON's: \u001b. */
export const printable = (text: string, shape: "lines" | "line" = "lines"): string =>
  shape === "line"
    ? text.replace(unseen, asJson)
    : text
        .replace(/\r\n/g, "\n")
        .replace(steering, (c) => (c.charCodeAt(0) > 0xff ? asJson(c) : `\\x${hex(c, 2)}`))
