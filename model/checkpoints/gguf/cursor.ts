// Numbers and texts one after another, out of the beginning of a file.

/** What was asked for lies behind the bytes that were read. */
export class CutOff extends Error {}

export class Cursor {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #fileSize: number
  #at = 0
  #counted = 0

  /** `fileSize`: what no text is longer than. */
  constructor(bytes: Uint8Array, fileSize: number) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#fileSize = fileSize
  }

  get position(): number {
    return this.#at
  }

  // Numbers of so many bits.
  u8 = (): number => this.#view.getUint8(this.#take(1))
  u16 = (): number => this.#view.getUint16(this.#take(2), true)
  u32 = (): number => this.#view.getUint32(this.#take(4), true)
  f32 = (): number => this.#view.getFloat32(this.#take(4), true)
  f64 = (): number => this.#view.getFloat64(this.#take(8), true)
  /** Not exact from 2^53 on, which is more than anything that is counted. */
  u64 = (): number => Number(this.#view.getBigUint64(this.#take(8), true))

  /** A whole number of eight bytes: a bigint where a number would not hold it. */
  big(isSigned: boolean): number | bigint {
    const at = this.#take(8)
    const value = isSigned ? this.#view.getBigInt64(at, true) : this.#view.getBigUint64(at, true)
    return Number.isSafeInteger(Number(value)) ? Number(value) : value
  }

  /** Adds to a count that is kept with the place, and returns all of it. */
  count(more: number): number {
    this.#counted += more
    return this.#counted
  }

  /** UTF-8 after its number of bytes. Throws RangeError, without the file's name, for what is none. */
  text(): string {
    const length = this.u64()
    if (length > this.#fileSize) throw new RangeError(`a text has ${length} bytes`)
    const at = this.#take(length)
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(
        this.#bytes.subarray(at, at + length),
      )
    } catch {
      throw new RangeError(`the text at byte ${at} is not UTF-8`)
    }
  }

  /** Where that many bytes begin, which are behind then. */
  #take(length: number): number {
    const at = this.#at
    if (at + length > this.#bytes.length) throw new CutOff()
    this.#at = at + length
    return at
  }
}
