// What `select` picks: a pattern over the keys and indexes that lead to a value.
export type SelectAs = 'values' | 'elements' | 'entries'

export interface Selector {
  /** Keys and indexes with `*` for any one of them, or a regular expression over them joined by dots. */
  match: string | RegExp
  /** Deliver each match whole, the elements of each matched array, or `{ key, value }` for each property of each matched object. */
  as: SelectAs
}

/** Whether the value behind these keys and indexes is selected. A pattern without a wildcard is compared key by key too, so a dot within a key is no separator. */
export function matcher (match: string | RegExp): RegExp | ((stack: readonly unknown[]) => boolean) {
  if (match instanceof RegExp) return match
  const pattern = match.split('.')
  return stack => stack.length === pattern.length && pattern.every((part, level) => part === '*' || part === String(stack[level]))
}
