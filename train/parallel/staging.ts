// Memory on the host through which one exchange after another goes.

/** Grows to the most that is asked for, and stays: the first touch of fresh pages takes longer than what is copied
 *  into them. */
export class Staging {
  #bytes = new Uint8Array(0)

  /** So many bytes, with whatever was in them; those taken before may not be used any more. */
  take(bytes: number): Uint8Array {
    if (bytes > this.#bytes.length) this.#bytes = new Uint8Array(bytes)
    return this.#bytes.subarray(0, bytes)
  }
}
