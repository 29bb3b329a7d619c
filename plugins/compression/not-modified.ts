// The tags of `reply.notModified()`: a handler names one, the client may hold it in any of its variants. It prevents
// computing a body whose client has it, before the coding of that body is known.
import { show } from '../shared/check.ts'
import { BadOption } from '../shared/errors.ts'
import { findTag, variants, type TagMode } from './entity-tag.ts'

export interface NotModified {
  /** The tag of the plain representation, with its quotes or without: 'v1', '"v1"', 'W/"v1"', 7. */
  etag?: string | number
  /** When the representation changed last: a Date, milliseconds, or what Date reads. Whole seconds count. */
  lastModified?: Date | number | string
}

/** A tag in its field form. */
export function quoted (etag: string | number): string {
  const tag = String(etag)
  return tag.endsWith('"') ? tag : `"${tag}"`
}

/** @throws FST_SURGE_BAD_OPTION for what is no date: the field would be ignored by every client. */
export function httpDateOf (time: Date | number | string): string {
  const date = new Date(time)
  if (Number.isNaN(date.getTime())) throw new BadOption(`Expected \`lastModified\` to be a Date, milliseconds or a date in words, got ${show(time)}`)
  return date.toUTCString()
}

/**
 * The tag as the client holds it, so that the 304 names the representation that is in its cache; undefined when it
 * holds none of the variants.
 */
export function matchedTag (list: string | undefined, tag: string | undefined, options: { encodings: readonly string[], etag: TagMode } | undefined): string | undefined {
  if (list === undefined || tag === undefined) return undefined
  const { encodings = [], etag: mode = false } = options ?? {}
  for (const variant of variants(tag, encodings, mode)) {
    const held = findTag(list, variant, false)
    if (held !== undefined) return held
  }
  return undefined
}
