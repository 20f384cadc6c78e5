// `elm completion`: a shell's script that completes this program's commands, options and their values,
// made from the program as commander has it, so that what is added there is completed too.
import type { Command, Option } from "commander"
import { command } from "./line/command.ts"
import { oneOf } from "./line/flags.ts"

interface Words {
  /** Words of the command after the program's name: "bench norms"; "" for the program itself. */
  readonly path: string
  readonly commands: readonly Command[]
  /** Values of its arguments, where those are some. */
  readonly choices: readonly string[]
  readonly options: readonly Option[]
}

const shells = { bash, zsh, fish } as const

export const completion = command({
  name: "completion",
  description: "print a script that completes commands and options in a shell",
  arguments: [oneOf("<shell>", "the shell", Object.keys(shells) as (keyof typeof shells)[])],
  after:
    "In a shell's start file:\n" +
    "  source <(elm completion bash)\n" +
    "  source <(elm completion zsh)\n" +
    "  elm completion fish | source",
  run: (_, { args: [shell], program }) => console.log(shells[shell](wordsOf(program))),
})

/** What follows each command: its own commands and options. A default command's are its parent's. */
function wordsOf(command: Command, path = ""): Words[] {
  const help = command.createHelp()
  const hidden = command.commands.filter((sub) => !help.visibleCommands(command).includes(sub))
  const all = [command, ...hidden].flatMap((each) => [...help.visibleOptions(each)])
  const options = all.filter((one, i) => all.findIndex((other) => other.long === one.long) === i)
  const commands = help.visibleCommands(command)
  const below = commands
    .filter((sub) => command.commands.includes(sub))
    .flatMap((sub) => wordsOf(sub, `${path} ${sub.name()}`.trim()))
  const choices = command.registeredArguments.flatMap(({ argChoices }) => argChoices ?? [])
  return [{ path, commands, choices, options }, ...below]
}

const flagsOf = ({ long, short }: Option): string[] =>
  [long, short].filter((flag) => flag !== undefined)
const takesValue = ({ required, optional }: Option): boolean => required || optional
const wordsAfter = ({ commands, choices, options }: Words): string =>
  [...commands.map((command) => command.name()), ...choices, ...options.flatMap(flagsOf)].join(" ")

/** Patterns of "command:option" for the options that take one of some values, or any. */
function valueCases(all: readonly Words[], line: (choices: readonly string[]) => string): string[] {
  return all.flatMap(({ path, options }) =>
    options.filter(takesValue).map((option) => {
      const patterns = flagsOf(option).map((flag) => `"${path}:${flag}"`)
      return `    ${patterns.join("|")}) ${line(option.argChoices ?? [])} ;;`
    }),
  )
}

/** Lines of a shell function that find the command that the words before the last one name. */
const findPath = (all: readonly Words[], words: string): string[] => {
  const paths = all.map(({ path }) => `"${path}"`).filter((path) => path !== '""')
  return [
    '  local at="" word',
    `  for word in ${words}; do`,
    `    case "\${at:+$at }$word" in`,
    `      ${paths.join("|")}) at="\${at:+$at }$word" ;;`,
    "    esac",
    "  done",
  ]
}

function bash(all: readonly Words[]): string {
  return [
    "_elm() {",
    "  local now before",
    `  now="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}"`,
    ...findPath(all, `"\${COMP_WORDS[@]:1:COMP_CWORD-1}"`),
    "  COMPREPLY=()",
    `  case "$at:$before" in`,
    ...valueCases(all, (choices) =>
      choices.length > 0
        ? `COMPREPLY=($(compgen -W "${choices.join(" ")}" -- "$now")); return`
        : "return",
    ),
    "  esac",
    `  case "$at" in`,
    ...all.map(
      (words) =>
        `    "${words.path}") COMPREPLY=($(compgen -W "${wordsAfter(words)}" -- "$now")) ;;`,
    ),
    "  esac",
    "}",
    // What has no words of its own here is a file.
    "complete -o default -F _elm elm",
  ].join("\n")
}

function zsh(all: readonly Words[]): string {
  return [
    "#compdef elm",
    "_elm() {",
    `  local before="\${words[CURRENT-1]}"`,
    ...findPath(all, `"\${(@)words[2,CURRENT-1]}"`),
    `  case "$at:$before" in`,
    ...valueCases(all, (choices) =>
      choices.length > 0 ? `compadd -- ${choices.join(" ")}; return` : "_files; return",
    ),
    "  esac",
    `  case "$at" in`,
    ...all.map((words) => `    "${words.path}") compadd -- ${wordsAfter(words)}; _files ;;`),
    "  esac",
    "}",
    'if [ "$funcstack[1]" = "_elm" ]; then _elm "$@"; else compdef _elm elm; fi',
  ].join("\n")
}

function fish(all: readonly Words[]): string {
  const quoted = (text: string): string => `'${text.replace(/[\\']/g, "\\$&")}'`
  const names = all.map(({ path }) => quoted(path)).filter((path) => path !== "''")
  const lines = all.flatMap(({ path, commands, choices, options }) => {
    const where = `complete -c elm -n ${quoted(`test "$(__elm_path)" = "${path}"`)}`
    return [
      ...commands.map(
        (command) => `${where} -f -a ${quoted(command.name())} -d ${quoted(command.description())}`,
      ),
      ...choices.map((choice) => `${where} -f -a ${quoted(choice)}`),
      ...options.map((option) => {
        const [long, short] = [option.long, option.short].map((flag) => flag?.replace(/^-+/, ""))
        const flags = `${long ? ` -l ${long}` : ""}${short ? ` -s ${short}` : ""}`
        const choices = option.argChoices ? ` -f -a ${quoted(option.argChoices.join(" "))}` : ""
        const value = takesValue(option) ? ` -r${choices}` : ""
        return `${where}${flags}${value} -d ${quoted(option.description)}`
      }),
    ]
  })
  return [
    "function __elm_path",
    "  set -l path",
    "  for word in (commandline -opc)[2..]",
    `    if contains -- (string join ' ' $path $word) ${names.join(" ")}`,
    "      set path $path $word",
    "    end",
    "  end",
    "  string join ' ' $path",
    "end",
    ...lines,
  ].join("\n")
}
