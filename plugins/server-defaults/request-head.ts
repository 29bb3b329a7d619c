// Looks over the header fields of a request once, as they came: Node merges or drops what it does not like, differently
// in each version, and a proxy in front may have decided by the other half (request smuggling).

/** More fields than allowed. */
export const TOO_MANY_FIELDS = 1
/** More than one Host: RFC 9112 section 3.2 demands a 400. */
export const DUPLICATE_HOST = 2
/** Content-Length or Transfer-Encoding: a body comes. */
export const HAS_BODY = 4

/** What was found, as bits; `fields` is name, value, name, value, … */
export function inspectHead (fields: readonly string[], maxFields: number): number {
  let found = 0
  let hosts = 0
  let pseudo = 0
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i]!
    // Lengths first: most fields are told apart by them, and lower-casing costs.
    switch (name.length) {
      case 4:
        if (name.toLowerCase() === 'host' && ++hosts > 1) found |= DUPLICATE_HOST
        break
      case 14:
        if (name.toLowerCase() === 'content-length') found |= HAS_BODY
        break
      case 17:
        if (name.toLowerCase() === 'transfer-encoding') found |= HAS_BODY
        break
    }
    if (name.charCodeAt(0) === 58) pseudo++
  }
  return fields.length / 2 - pseudo > maxFields ? found | TOO_MANY_FIELDS : found
}
