// Modules of Node, which Deno and Bun have too: asked for by name while running, so that no bundler
// follows them into a page. Not in index.ts, whose types need nothing of Node.

interface NodeModules {
  readonly "node:buffer": typeof import("node:buffer")
  readonly "node:child_process": typeof import("node:child_process")
  readonly "node:crypto": typeof import("node:crypto")
  readonly "node:fs": typeof import("node:fs")
  readonly "node:fs/promises": typeof import("node:fs/promises")
  readonly "node:http": typeof import("node:http")
  readonly "node:os": typeof import("node:os")
  readonly "node:path": typeof import("node:path")
  readonly "node:timers": typeof import("node:timers")
  readonly "node:url": typeof import("node:url")
  readonly "node:v8": typeof import("node:v8")
  readonly "node:worker_threads": typeof import("node:worker_threads")
  readonly "node:zlib": typeof import("node:zlib")
}

/** Whether they are there. */
export const isNode = typeof globalThis.process?.getBuiltinModule === "function"

/** One of them. Throws Error in a browser. */
export function fromNode<Name extends keyof NodeModules>(name: Name): NodeModules[Name] {
  if (isNode) return process.getBuiltinModule<keyof NodeModules>(name) as NodeModules[Name]
  throw new Error(
    `A browser has no ${name}: it has no paths to read or write. Give an http or https URL, or ` +
      "files of the page, or run this in Node, Deno or Bun",
  )
}
