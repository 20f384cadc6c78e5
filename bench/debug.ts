// Whether --debug stands anywhere on the command line, also after a subcommand. After -- it is a text.
export const debugFlag = "--debug"

const end = process.argv.indexOf("--")
export const debug = process.argv.slice(0, end < 0 ? undefined : end).includes(debugFlag)
