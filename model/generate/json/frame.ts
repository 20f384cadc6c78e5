// Where a text stands in a JSON value: a stack of frames, of which the top one takes the next byte. Several
// stacks at once where a schema leaves open which of its parts is meant.

/** What takes bytes until it is done, and is then left for what is below it. */
export interface Frame {
  /** Equal for frames that take the same bytes. */
  readonly key: string
  /** Where the text may stand after a byte: nowhere, if it takes none such. `here`: its own place. */
  step(byte: number, below: Place, here: Place): readonly Place[]
  /** Whether it is done as soon as a byte comes that it does not take: numbers. */
  readonly isOpen?: boolean
}

/** A frame on the stack of those below it. */
export class Place {
  readonly frame: Frame
  readonly below: Place | undefined
  /** This place and no other. */
  readonly alone: readonly Place[] = [this]
  #key: string | undefined

  constructor(frame: Frame, below: Place | undefined) {
    this.frame = frame
    this.below = below
  }

  get key(): string {
    this.#key ??= this.below ? `${this.frame.key} ${this.below.key}` : this.frame.key
    return this.#key
  }
}

/** Below everything: the value is whole. */
export const bottom = new Place({ key: "end", step: () => [] }, undefined)

/** Whether the text may end here. */
export const isWhole = ({ frame, below }: Place): boolean =>
  below === undefined || (frame.isOpen === true && below === bottom)

/** Where a text may stand after one byte more. */
export function advance(places: readonly Place[], byte: number): readonly Place[] {
  if (places.length === 1) return stepOf(places[0] as Place, byte)
  const found = new Map<string, Place>()
  for (const place of places) {
    for (const next of stepOf(place, byte)) found.set(next.key, next)
  }
  return [...found.values()]
}

function stepOf(here: Place, byte: number): readonly Place[] {
  const { frame, below } = here
  if (!below) return []
  const next = frame.step(byte, below, here)
  return next.length === 0 && frame.isOpen ? stepOf(below, byte) : next
}
