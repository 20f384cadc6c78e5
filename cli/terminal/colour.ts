// Colour in what the commands print: only at a terminal, or where FORCE_COLOR asks for it, so that
// a pipe and a log (a CI's too) get plain text.
import pc from "picocolors"

const { FORCE_COLOR, NO_COLOR, TERM } = process.env
const asked = FORCE_COLOR !== undefined && FORCE_COLOR !== "" && FORCE_COLOR !== "0"

/** Whether the standard output takes colours. */
// A pipe's isTTY is not false but undefined, for which createColors would look at CI.
export const inColour: boolean =
  !NO_COLOR && (asked || (process.stdout.isTTY === true && TERM !== "dumb"))

export const { bold, dim } = pc.createColors(inColour)
