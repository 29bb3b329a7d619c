// Says whether a reply may be encoded at all, and keeps Vary honest about it. It prevents breaking what describes the
// plain bytes: ranges, digests, replies that are encoded already, event streams that a coder would hold back.

/** The fields of the reply, by their names in lower case. */
export type Fields = Record<string, number | string | string[] | undefined>

/** Fastify sends a stream without a type as it is; @fastify/compress takes it for JSON, and so do we. */
const UNTYPED = 'application/json'

/** A range is one of the plain bytes. */
export const PARTIAL = 206

/**
 * Whether the representation that a reply is of, or is a part of, has others that are encoded.
 * RFC 9110 section 12.5.3, RFC 9111 section 5.2.2.6 (no-transform), RFC 9530 (digests).
 */
export function isNegotiable (status: number, fields: Fields, isCompressible: (type: string) => boolean): boolean {
  if (status === 204 || status === 205 || status === 304 || status < 200) return false
  const type = String(fields['content-type'] ?? UNTYPED).toLowerCase()
  if (type.startsWith('text/event-stream') || !isCompressible(type)) return false
  const coding = fields['content-encoding']
  if (coding !== undefined && coding !== 'identity') return false
  const control = fields['cache-control']
  if (control !== undefined && String(control).toLowerCase().includes('no-transform')) return false
  if (status !== PARTIAL && fields['content-range'] !== undefined) return false
  return fields['content-digest'] === undefined && fields['repr-digest'] === undefined && fields.digest === undefined && fields['content-md5'] === undefined
}

/** The Vary field with Accept-Encoding in it, in lower case as @fastify/compress writes it: names of fields have no case. */
export function varyByEncoding (vary: number | string | string[] | undefined): string {
  if (vary === undefined || vary === '' || vary === 'accept-encoding') return 'accept-encoding'
  return addVary(vary, 'accept-encoding')
}

/** The Vary field with these names in it as well. */
export function addVary (vary: number | string | string[] | undefined, names: string): string {
  if (vary === undefined || vary === names) return names
  let field = Array.isArray(vary) ? vary.join(', ') : String(vary ?? '')
  const known = new Set(field.toLowerCase().split(',').map(name => name.trim()))
  if (known.has('*')) return field
  for (const name of names.split(',')) {
    if (!known.has(name.trim().toLowerCase())) field = field === '' ? name.trim() : `${field}, ${name.trim()}`
  }
  return field
}
