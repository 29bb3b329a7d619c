// Why a body was refused, and where. V8's own messages quote the input, so they are never passed on.
import type { FastifyError } from '@fastify/error'
import {
  JsonElementTooLarge, JsonInvalid, JsonNotUtf8, JsonPrototype, JsonShape, JsonTooDeep, JsonTooManyItems, JsonTruncated
} from '../shared/errors.ts'

/** What the iterator rejects with: every element before `index` was delivered. */
export interface JsonStreamError extends FastifyError {
  /** The element that failed, or the number of elements where the fault lies behind the last one. */
  index?: number
  /** The byte of the decoded body where the fault was seen. */
  offset?: number
}

export const failure = {
  invalid: (index: number, offset: number) => located(new JsonInvalid(index, offset), index, offset),
  truncated: (index: number, offset: number) => located(new JsonTruncated(index, offset), index, offset),
  notUtf8: (index: number, offset: number) => located(new JsonNotUtf8(index, offset), index, offset),
  prototype: (index: number, offset: number) => located(new JsonPrototype(index, offset), index, offset),
  shape: (expected: string, index: number, offset: number) => located(new JsonShape(expected, offset), index, offset),
  tooDeep: (maxDepth: number, index: number, offset: number) => located(new JsonTooDeep(maxDepth, index, offset), index, offset),
  elementTooLarge: (maxBytes: number, index: number, offset: number) => located(new JsonElementTooLarge(index, maxBytes), index, offset),
  tooManyItems: (maxItems: number, offset: number) => located(new JsonTooManyItems(maxItems), maxItems, offset)
}

/** Writes the place of a fault on its error. */
export function located (error: FastifyError, index: number, offset?: number): JsonStreamError {
  const placed: JsonStreamError = error
  placed.index = index
  if (offset !== undefined) placed.offset = offset
  return placed
}
