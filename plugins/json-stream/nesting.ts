// How deep JSON nests, found without looking at each byte where that can be: as many containers in the parsed values as brackets
// in the text means that the values show it all. Where strings hold brackets, or a doubled key hides a value, the bytes decide.

/** Whether no value in `text`, of which `values` were parsed, nests deeper than `maxDepth` containers. `bytes[from, to)` is the same text. */
export function nestsWithin (values: unknown[], text: string, bytes: Buffer, from: number, to: number, maxDepth: number): boolean {
  const opening = countOpening(text)
  let found = 0
  let level = containersIn([values])
  for (let depth = 1; level.length > 0; depth++) {
    if (depth > maxDepth) return false
    found += level.length
    // As many as there are brackets: below here is nothing but scalars, which need no look.
    if (found === opening) return true
    level = containersIn(level)
  }
  return found === opening || tooDeepAt(bytes, from, to, maxDepth) === -1
}

/** The position of the bracket that opens one level too many, or -1. */
export function tooDeepAt (bytes: Buffer, from: number, to: number, maxDepth: number): number {
  if (to - from <= maxDepth) return -1
  let depth = 0
  for (let at = from; at < to; at++) {
    const byte = bytes[at]!
    if (byte === 0x22) {
      at++
      while (at < to && bytes[at] !== 0x22) at += bytes[at] === 0x5c ? 2 : 1
    } else if (byte === 0x5b || byte === 0x7b) {
      if (++depth > maxDepth) return at
    } else if (byte === 0x5d || byte === 0x7d) {
      depth--
    }
  }
  return -1
}

/** The containers one level down. */
function containersIn (level: any[]): any[] {
  const inner: any[] = []
  for (const container of level) {
    if (Array.isArray(container)) {
      for (let at = 0; at < container.length; at++) {
        const value = container[at]
        if (typeof value === 'object' && value !== null) inner.push(value)
      }
    } else {
      for (const key in container) {
        const value = container[key]
        if (typeof value === 'object' && value !== null) inner.push(value)
      }
    }
  }
  return inner
}

/** Brackets and braces that open, those in strings too. Two searches for one character take a fifth of a loop over bytes. */
function countOpening (text: string): number {
  let count = 0
  for (let at = text.indexOf('{'); at !== -1; at = text.indexOf('{', at + 1)) count++
  for (let at = text.indexOf('['); at !== -1; at = text.indexOf('[', at + 1)) count++
  return count
}
