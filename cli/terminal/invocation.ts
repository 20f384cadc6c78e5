// How this program was called.

/** As a person who reads an advice calls it: by npx where that is how it was called. */
export const programName = process.env.npm_command === "exec" ? "npx elm" : "elm"

export const debugFlag = "--debug"

const end = process.argv.indexOf("--")
/** Whether --debug stands anywhere on the command line, also after a subcommand. After -- it is a text. */
export const debug = process.argv.slice(0, end < 0 ? undefined : end).includes(debugFlag)
