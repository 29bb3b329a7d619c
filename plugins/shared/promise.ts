// Whether a function of the app answers later. By its `then`, as `await` has it: queries of some clients are no Promises, and
// taken for values they would be sent as a reply, or count as whatever an object counts as.

export function isPromise<T> (value: T | Promise<T>): value is Promise<T> {
  return typeof value === 'object' && value !== null && typeof (value as Promise<T>).then === 'function'
}
