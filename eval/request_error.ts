// What is wrong with one request of a call, so that whoever knows of which document it is can name that.

/** A request that cannot be answered. */
export class RequestError extends RangeError {
  override readonly name = "RangeError"
  /** Its number in the call. */
  readonly request: number

  constructor(request: number, message: string, options?: ErrorOptions) {
    super(message, options)
    this.request = request
  }
}
