// What a command is: a name, what it takes, what it does and what its help says, declared in a file of
// its own. That it stands in a list (../program.ts) gives it its place in help and in completion.
import { type Command as Commander, Help, type HelpConfiguration } from "commander"
import type { TableOf } from "../terminal/table.ts"
import { suggestion, usageError } from "./arguments.ts"
import {
  type ArgumentsOf,
  argumentOf,
  type Flags,
  flagName,
  optionsOf,
  type Positionals,
  type ValuesOf,
} from "./flags.ts"

export interface Command {
  readonly name: string
  /** Of a group. */
  readonly commands: readonly Command[]
  /** That it prints. */
  readonly tables: readonly TableOf<never>[]
  /** `how`: what another place in the list asks of it. */
  addTo(parent: Commander, how?: Placing): Commander
}

interface Placing {
  /** Runs where its group is called without the name of a command, and is not listed. */
  readonly isDefault?: boolean
  /** In place of the usage that its name and options make. */
  readonly usage?: string
}

/** How a command was called, beside its flags. */
interface Invocation<A> {
  readonly args: A
  /** Those of these flags that were typed, rather than having their defaults: "--seed and --model". */
  given(...flags: string[]): string
  readonly program: Commander
}

interface Declared<F extends Flags, A extends Positionals> {
  readonly name: string
  readonly description: string
  readonly arguments?: A
  readonly flags?: F
  /** The end of its help. */
  readonly after?: string
  readonly tables?: readonly TableOf<never>[]
  run(flags: ValuesOf<F>, invocation: Invocation<ArgumentsOf<A>>): void | Promise<void>
}

/** A command that is run with what its flags and arguments have been parsed to. */
export function command<F extends Flags, const A extends Positionals>(
  declared: Declared<F, A>,
): Command {
  const { name, description, tables = [], after } = declared
  const flags: Flags = declared.flags ?? {}
  const addTo = (parent: Commander, { isDefault = false, usage }: Placing = {}): Commander => {
    const made = parent.command(name, { isDefault, hidden: isDefault }).description(description)
    for (const each of declared.arguments ?? []) made.addArgument(argumentOf(each))
    for (const [key, flag] of Object.entries(flags)) {
      for (const option of optionsOf(key, flag)) made.addOption(option)
    }
    made.configureHelp(helpOf(flags, usage))
    if (after !== undefined) made.addHelpText("after", `\n${after}`)
    return made.action(() =>
      declared.run(made.opts() as ValuesOf<F>, {
        args: made.processedArgs as unknown as ArgumentsOf<A>,
        given: (...flags) =>
          flags
            .filter((flag) => made.getOptionValueSource(flag) === "cli")
            .map((flag) => `--${flagName(flag)}`)
            .join(" and "),
        program: rootOf(made),
      }),
    )
  }
  return { name, commands: [], tables, addTo }
}

const rootOf = (command: Commander): Commander =>
  command.parent ? rootOf(command.parent) : command

function helpOf(flags: Flags, usage: string | undefined): HelpConfiguration {
  return {
    optionDescription(option) {
      const text = Help.prototype.optionDescription.call(new Help(), option)
      const usual = option.negate ? undefined : flags[option.attributeName()]?.usual?.()
      return usual === undefined ? text : `${text} (default: ${usual})`
    },
    ...(usage === undefined ? {} : { commandUsage: () => usage }),
  }
}

interface CommandGroup {
  readonly name: string
  readonly description: string
  /** Runs where no other of the group is named. */
  readonly byDefault?: Command
  readonly commands: readonly Command[]
}

/** Commands under one word: `elm tokenizer train`, `elm tokenizer encode`. */
export function group({ name, description, byDefault, commands }: CommandGroup): Command {
  const addTo = (parent: Commander): Commander => {
    const made = parent.command(name).description(description)
    if (byDefault) addDefault(made, byDefault, commands)
    for (const each of commands) each.addTo(made)
    // The group itself leaves --help to its default command, and they have all followed it.
    if (byDefault) for (const each of made.commands) each.helpOption("-h, --help", "show this")
    return made
  }
  const all = byDefault ? [byDefault, ...commands] : commands
  return { name, commands: all, tables: [], addTo }
}

/** What a group does where none of its commands is named; its help names the others. */
function addDefault(group: Commander, byDefault: Command, commands: readonly Command[]): void {
  const own = group.name()
  const names = commands.map(({ name }) => name)
  const also = names.map((name) => `${own} ${name}`)
  group.helpOption(false).description(`${group.description()}; also: ${also.join(", ")}`)
  const usage = `elm ${own} [options] | elm ${own} <command> [options]`
  byDefault
    .addTo(group, { isDefault: true, usage })
    .addHelpText("after", `\nAlso: ${also.map((name) => `elm ${name} --help`).join(", ")}`)
  // What is no command would be an argument of the default one, which takes none.
  group.hook("preSubcommand", ({ args: [word = "-"] }) => {
    if (word.startsWith("-") || word === byDefault.name || names.includes(word)) return
    const near = suggestion(word, names) || `. There are: ${names.join(", ")}`
    throw usageError(`unknown command 'elm ${own} ${word}'${near}`)
  })
}
