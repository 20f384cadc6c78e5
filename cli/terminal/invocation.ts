// How this program was called.

/** As a person who reads an advice calls it: by npx where that is how it was called. */
export const programName = process.env.npm_command === "exec" ? "npx elm" : "elm"

export const debugFlag = "--debug"

const end = process.argv.indexOf("--")
/** Whether --debug stands anywhere on the command line, also after a subcommand. After -- it is a text. */
export const debug = process.argv.slice(0, end < 0 ? undefined : end).includes(debugFlag)

/** Flags as this program has them: the original's commands write --generate_kwargs. */
export function dashed(args: readonly string[]): string[] {
  const end = args.indexOf("--")
  return args.map((arg, i) => {
    if (end >= 0 && i >= end) return arg
    return arg.replace(/^--[a-z]+(_[a-z]+)+(?==|$)/, (flag) => flag.replaceAll("_", "-"))
  })
}
