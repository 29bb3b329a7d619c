// How deep JSON nests, found without looking at each byte where that can be: as many containers in the parsed values as brackets
// in the text means that the values show it all. Where strings hold brackets, or a doubled key hides a value, the bytes decide.

/** Deeper than this the values would be walked by too many calls. */
const DEEPEST_WALK = 1000

/** Whether no value in `text`, of which `values` were parsed, nests deeper than `maxDepth` containers. `bytes[from, to)` is the same text. */
export function nestsWithin (values: unknown[], text: string, bytes: Buffer, from: number, to: number, maxDepth: number): boolean {
  if (maxDepth <= DEEPEST_WALK) {
    const containers = countContainers(values, maxDepth)
    if (containers === TOO_DEEP) return false
    if (containers === countOpening(text)) return true
  }
  return tooDeepAt(bytes, from, to, maxDepth) === -1
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

const TOO_DEEP = -1

/** Containers in the values, or TOO_DEEP. */
function countContainers (values: unknown[], depth: number): number {
  let count = 0
  for (let at = 0; at < values.length; at++) {
    const value = values[at]
    if (typeof value !== 'object' || value === null) continue
    const inner = countWithin(value, depth)
    if (inner === TOO_DEEP) return TOO_DEEP
    count += inner
  }
  return count
}

/** The container and those in it. */
function countWithin (container: any, depth: number): number {
  if (depth === 0) return TOO_DEEP
  if (Array.isArray(container)) {
    const inner = countContainers(container, depth - 1)
    return inner === TOO_DEEP ? TOO_DEEP : inner + 1
  }
  let count = 1
  for (const key in container) {
    const value = container[key]
    if (typeof value !== 'object' || value === null) continue
    const inner = countWithin(value, depth - 1)
    if (inner === TOO_DEEP) return TOO_DEEP
    count += inner
  }
  return count
}

/** Brackets and braces that open, those in strings too. Two searches for one character take a fifth of a loop over bytes. */
function countOpening (text: string): number {
  let count = 0
  for (let at = text.indexOf('{'); at !== -1; at = text.indexOf('{', at + 1)) count++
  for (let at = text.indexOf('['); at !== -1; at = text.indexOf('[', at + 1)) count++
  return count
}
