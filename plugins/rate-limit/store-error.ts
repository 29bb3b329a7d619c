// What a store fails with, as an Error: it may throw, reject with or call back with anything, also nothing, and logs, the
// diagnostics channel and the callers of `app.quota` are to be told of a failure all the same.
import { show } from '../shared/check.ts'

export function storeError (reason: unknown): Error {
  if (reason instanceof Error) return reason
  return new Error(reason === undefined || reason === null ? 'The store failed without a reason' : `The store failed: ${show(reason)}`, { cause: reason })
}
