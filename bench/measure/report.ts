// What a long measurement says while it works.

/** Says what is being done, and how far it is. */
export type Report = (text: string, fraction?: number) => void
