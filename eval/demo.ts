// Small made-up documents that come with the package, so that all of an evaluation can be seen at work without
// a download: the tasks of the first suite, and one of its own that a small model can do.
import { fromNode } from "../engine/node.ts"
import { pathOf } from "../model/files/source.ts"

/** The folder of their data. */
export const demoFolder = (): string => pathOf(new URL("../../eval/demo", import.meta.url))

/** The task that is a file of YAML there. */
export const demoTask = (): string => fromNode("node:path").join(demoFolder(), "agreement.yaml")
