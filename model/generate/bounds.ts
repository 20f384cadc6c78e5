// How many requests share a batch, and what becomes of more.

/** Bounds of what is under way at a time. */
export interface ContinuousOptions {
  /** Requests side by side; default 8. */
  readonly places?: number
  /** Requests that wait for a place; default 64. */
  readonly queue?: number
}

/** A queue that is full. */
export class QueueFullError extends Error {
  override readonly name = "QueueFullError"
}

/** Bounds where none are given. */
export const defaults = { places: 8, queue: 64 } as const
