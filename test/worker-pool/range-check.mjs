// An error as a library has it: a class of its own, a name, a code and a status.
export class RangeCheck extends RangeError {
  name = 'RangeCheck'
  code = 'E_RANGE_CHECK'
  statusCode = 422

  constructor (value) {
    super(`out of range: ${value}`)
    this.value = value
  }
}
