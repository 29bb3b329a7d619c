// Option checks: a bad option fails at boot with its key, its value, what was expected and the
// nearest known name. It prevents a typing error from silently turning a protection off.
import { closest, distance } from 'fastest-levenshtein'
import { BadOption } from './errors.ts'

/** What one option must be. `read` turns an accepted value into the resolved one, for nested options. */
export interface Rule {
  /** Completes the sentence "expected … ". */
  expects: string
  accepts: (value: unknown) => boolean
  read?: (value: any, path: string) => unknown
  /** The words that it accepts, for a word that is nearly one. */
  words?: readonly string[]
}

export type Rules<T> = { [K in keyof Required<T>]: Rule }

/** The options that Fastify itself passes to every plugin. */
const FASTIFY_OWN = new Set(['prefix', 'logLevel', 'logSerializers'])

/** setTimeout fires at once above this, so no duration may exceed it. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1

export function integer (min: number, max = Number.MAX_SAFE_INTEGER): Rule {
  return {
    expects: max === Number.MAX_SAFE_INTEGER ? `an integer ≥ ${min}` : `an integer from ${min} to ${max}`,
    accepts: value => Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max
  }
}

export function milliseconds (min = 1): Rule {
  const rule = integer(min, MAX_TIMEOUT_MS)
  return { ...rule, expects: `milliseconds, ${rule.expects}` }
}

export function bytes (min = 0): Rule {
  const rule = integer(min)
  return { ...rule, expects: `bytes, ${rule.expects}` }
}

export function number (min: number, max = Infinity): Rule {
  return {
    expects: max === Infinity ? `a number ≥ ${min}` : `a number from ${min} to ${max}`,
    accepts: value => typeof value === 'number' && value >= min && value <= max
  }
}

export const boolean: Rule = { expects: 'true or false', accepts: value => typeof value === 'boolean' }
export const func: Rule = { expects: 'a function', accepts: value => typeof value === 'function' }
export const string: Rule = { expects: 'a string that is not empty', accepts: value => typeof value === 'string' && value !== '' }
export const path: Rule = { expects: "a path that begins with '/'", accepts: value => typeof value === 'string' && value.startsWith('/') }
export const abortSignal: Rule = { expects: 'an AbortSignal', accepts: value => value instanceof AbortSignal }

export const anything: Rule = { expects: 'anything', accepts: () => true }

export function oneOf (...values: unknown[]): Rule {
  const shown = values.map(show)
  const last = shown.pop()
  return { expects: shown.length === 0 ? `${last}` : `${shown.join(', ')} or ${last}`, accepts: value => values.includes(value), words: values.filter(value => typeof value === 'string') }
}

/** A list of some of these values, at least one, none twice. */
export function listOf (...values: string[]): Rule {
  return {
    expects: `a list of ${values.map(show).join(', ')}, each once at most`,
    accepts: value => Array.isArray(value) && value.length > 0 && new Set(value).size === value.length && value.every(item => values.includes(item)),
    words: values
  }
}

export function either (...rules: Rule[]): Rule {
  return {
    expects: rules.map(rule => rule.expects).join(', or '),
    accepts: value => rules.some(rule => rule.accepts(value)),
    words: rules.flatMap(({ words = [] }) => words),
    read: (value, path) => {
      const rule = rules.find(rule => rule.accepts(value))
      return rule?.read ? rule.read(value, path) : value
    }
  }
}

/** A rule that reads an object by a function of its own, such as another `readOptions`. */
export function object (read: (value: any, path: string) => unknown): Rule {
  return { expects: 'an object', accepts: isObject, read }
}

export function isObject (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * Reads `input` by `rules` over `defaults`; `undefined` and `true` mean the defaults.
 * @throws FST_SURGE_BAD_OPTION for an unknown key or a value that its rule does not accept.
 */
export function readOptions<T extends object> (path: string, input: unknown, rules: Rules<T>, defaults: T): T {
  if (input === undefined || input === true) return { ...defaults }
  if (!isObject(input)) throw new BadOption(`Expected \`${path}\` to be an object, got ${show(input)}`)
  const options = { ...defaults } as Record<string, unknown>
  for (const key of Object.keys(input)) {
    if (FASTIFY_OWN.has(key) && !(key in rules)) continue
    const rule = (rules as Record<string, Rule>)[key]
    if (rule === undefined || !Object.hasOwn(rules, key)) throw unknownKey(`${path}.${key}`, key, Object.keys(rules), '', input[key])
    if (input[key] === undefined) continue
    options[key] = readValue(`${path}.${key}`, input[key], rule)
  }
  return options as T
}

/** @throws FST_SURGE_BAD_OPTION when `rule` does not accept `value`. */
export function readValue (path: string, value: unknown, rule: Rule): unknown {
  if (!rule.accepts(value)) {
    const near = nearestWord(value, rule.words)
    throw new BadOption(`Expected \`${path}\` to be ${rule.expects}, got ${show(value)}${near === undefined ? '' : `. Did you mean ${show(near)}?`}`)
  }
  return rule.read ? rule.read(value, path) : value
}

function nearestWord (value: unknown, words: readonly string[] = []): string | undefined {
  const strange = [value].flat().find(word => typeof word === 'string' && !words.includes(word))
  return strange === undefined ? undefined : nearest(strange as string, [...words])
}

/** The error for a key that nobody knows, with the nearest name that somebody does. */
export function unknownKey (path: string, key: string, known: string[], hint = '', value?: unknown) {
  const near = nearest(key, known)
  const advice = near === undefined ? `Known: ${known.join(', ')}.` : `Did you mean \`${near}\`?`
  return new BadOption(`Unknown option \`${path}\`. ${advice}${value === undefined ? '' : ` Got ${show(value)}.`}${hint && ' ' + hint}`)
}

/** The known name within `edits`, by default a third of its length, as a typing error would leave it. */
export function nearest (key: string, known: string[], edits?: number): string | undefined {
  if (known.length === 0) return undefined
  const candidate = closest(key.toLowerCase(), known.map(name => name.toLowerCase()))
  const name = known.find(name => name.toLowerCase() === candidate) as string
  return distance(key.toLowerCase(), candidate) <= (edits ?? Math.max(2, Math.ceil(name.length / 3))) ? name : undefined
}

/** A value as it would be written in code, shortened, so that an error can quote it. */
export function show (value: unknown): string {
  if (typeof value === 'function') return `a function${value.name ? ` (${value.name})` : ''}`
  if (typeof value === 'bigint' || typeof value === 'symbol' || Object.is(value, -0)) return String(value)
  if (typeof value === 'number' || value === undefined) return String(value)
  if (typeof value === 'string') return `'${value.length > 60 ? value.slice(0, 60) + '…' : value}'`
  let text: string
  try { text = JSON.stringify(value) ?? String(value) } catch { text = Object.prototype.toString.call(value) }
  return text.length > 80 ? text.slice(0, 80) + '…' : text
}
