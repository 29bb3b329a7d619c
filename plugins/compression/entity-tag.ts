// Entity tags: their weakness, their variants by content coding, and the two comparisons of RFC 9110 section 8.8.3.
// It prevents one strong tag from naming two byte sequences, by which a cache would mix gzip into plain bytes.

/** How a reply's tag follows its content coding; false makes no tags. */
export type TagMode = 'weak-when-encoded' | 'per-encoding' | 'weak' | false

/** The tag that an app has set, whatever it made it of. */
export function tagOf (field: number | string | string[] | undefined): string | undefined {
  const tag = Array.isArray(field) ? field[0] : field
  return tag === undefined ? undefined : String(tag)
}

export function isWeak (tag: string): boolean {
  return tag.startsWith('W/')
}

export function weaken (tag: string): string {
  return isWeak(tag) ? tag : `W/${tag}`
}

/**
 * The tag of one encoded representation, from the tag of the plain one. A weak tag claims no byte sequence and may
 * name both; a strong one is weakened, or told apart by a suffix.
 */
export function encodedTag (tag: string, encoding: string, mode: TagMode): string {
  if (isWeak(tag)) return tag
  if (mode !== 'per-encoding' || !tag.endsWith('"')) return weaken(tag)
  return `${tag.slice(0, -1)}-${encoding}"`
}

/** The tags of a resource's representations, the plain one first. */
export function variants (tag: string, encodings: readonly string[], mode: TagMode): string[] {
  return [tag, ...encodings.filter(encoding => encoding !== 'identity').map(encoding => encodedTag(tag, encoding, mode))]
}

/**
 * The member of an `If-Match` or `If-None-Match` list that names `tag`, as the client wrote it. Strong comparison wants
 * neither to be weak, weak comparison looks at the opaque part alone (section 8.8.3.2).
 */
export function findTag (list: string, tag: string, strong: boolean): string | undefined {
  if (strong && isWeak(tag)) return undefined
  if (list === tag) return tag
  const wanted = opaque(tag)
  let start = 0
  while (start < list.length) {
    const code = list.charCodeAt(start)
    if (code === SPACE || code === TAB || code === COMMA) {
      start++
      continue
    }
    const end = memberEnd(list, start)
    const member = list.slice(start, end).trimEnd()
    if (opaque(member) === wanted && !(strong && isWeak(member))) return member
    start = end
  }
  return undefined
}

const SPACE = 32
const TAB = 9
const COMMA = 44

function opaque (tag: string): string {
  return isWeak(tag) ? tag.slice(2) : tag
}

/** A quoted tag may hold commas; one that came without quotes ends at the next comma. */
function memberEnd (list: string, start: number): number {
  const quote = list.startsWith('W/', start) ? start + 2 : start
  if (list[quote] === '"') {
    const close = list.indexOf('"', quote + 1)
    if (close !== -1) return close + 1
  }
  const comma = list.indexOf(',', start)
  return comma === -1 ? list.length : comma
}
