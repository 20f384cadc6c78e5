// Whether --debug stands anywhere on the command line, also after a subcommand.
export const debugFlag = "--debug"
export const debug = process.argv.includes(debugFlag)
