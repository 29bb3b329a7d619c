// The limits of a streamed body, for all routes and for one. A route that does not opt in has none of this.
import { boolean, bytes, either, integer, isObject, listOf, milliseconds, number, object, oneOf, readOptions, readValue, type Rule, type Rules } from '../shared/check.ts'
import { BadOption } from '../shared/errors.ts'
import { availableEncodings, type BodyEncoding } from './encodings.ts'
import type { SelectAs, Selector } from './selector.ts'

export interface JsonStreamLimits {
  /** Bytes of the body, before and after decompression. An integer ≥ 1. @default 1073741824 */
  maxBytes: number
  /** Bytes of one element, with the space around it. An integer from 1 to 268435456, half of the longest string that V8 has. @default 1048576 */
  maxElementBytes: number
  /** Containers within one another, the outermost included; a line of NDJSON counts from its own. An integer ≥ 1. @default 64 */
  maxDepth: number
  /** Elements in a body. An integer ≥ 1. @default Infinity */
  maxItems: number
  /** Bytes around the array that `path` names, space not counted. @default 65536 */
  maxEnvelopeBytes: number
  /** How many times its size a compressed body may unpack to; not judged below 1 MiB. A number ≥ 1. @default 100 */
  maxRatio: number
}

/** What a route may set for itself as well. */
export interface BodySettings {
  limits: JsonStreamLimits
  /** Milliseconds without a byte of the body, while the handler waits for one. @default 30000 */
  idleTimeout: number
  /** Content encodings of request bodies that are decoded; `false` decodes none. @default all that this Node has of gzip, br and zstd */
  encodings: BodyEncoding[] | false
  /** Elements that may fail their schema before the body is refused; they are skipped, and listed on the error. 0 refuses at the first. @default 0 */
  collectErrors: number
}

export interface JsonStreamSettings extends BodySettings {
  /** Hold the bodies that Fastify's own JSON parser takes on every other route to `limits.maxDepth`, too: 400 past it. @default true */
  ordinaryRoutes: boolean
}

type Input<Settings extends BodySettings> = Partial<Omit<Settings, 'limits'>> & { limits?: Partial<JsonStreamLimits> }

export type JsonStreamOptions = Input<JsonStreamSettings>

export interface RouteJsonStreamSettings extends BodySettings {
  /** The keys that lead to the array, none for one at the root. */
  path: string[]
  select: Selector | undefined
}

/** `config.jsonStream` of a route; `true` streams an array at the root, or NDJSON. */
export type RouteJsonStreamOptions = Input<BodySettings> & {
  /** Dotted path of the array to stream, such as `data.items`. */
  path?: string
  /** Stream what a pattern selects instead, through stream-json: keys and indexes with `*`, or a regular expression over them joined by dots. */
  select?: string | RegExp | { match: string | RegExp, as?: SelectAs }
}

const defaultLimits: JsonStreamLimits = {
  maxBytes: 1024 ** 3,
  maxElementBytes: 1024 ** 2,
  maxDepth: 64,
  maxItems: Infinity,
  maxEnvelopeBytes: 64 * 1024,
  maxRatio: 100
}

export const defaults: JsonStreamSettings = {
  limits: defaultLimits,
  idleTimeout: 30_000,
  encodings: availableEncodings(),
  collectErrors: 0,
  ordinaryRoutes: true
}

const limitRules: Rules<JsonStreamLimits> = {
  maxBytes: bytes(1),
  maxElementBytes: integer(1, 2 ** 28),
  maxDepth: integer(1),
  maxItems: either(oneOf(Infinity), integer(1)),
  maxEnvelopeBytes: bytes(1),
  maxRatio: number(1)
}

function rules (base: BodySettings): Rules<BodySettings> {
  return {
    limits: object((input, path) => readOptions(path, input, limitRules, base.limits)),
    idleTimeout: milliseconds(),
    encodings: either(oneOf(false), encodingList),
    collectErrors: integer(0)
  }
}

const encodingList: Rule = {
  ...listOf('gzip', 'br', 'zstd'),
  read (value: BodyEncoding[], path) {
    const missing = value.find(encoding => !availableEncodings().includes(encoding))
    if (missing !== undefined) throw new BadOption(`Expected \`${path}\` to be among ${availableEncodings().join(', ')}, got '${missing}', which Node ${process.version} does not decode`)
    return value
  }
}

const dottedPath: Rule = {
  expects: "keys joined by dots, such as 'data.items'",
  accepts: value => typeof value === 'string' && value.split('.').every(key => key !== ''),
  read: (value: string) => value.split('.')
}

const pattern: Rule = {
  expects: "keys and indexes joined by dots, such as 'data.*.items', or a regular expression",
  accepts: value => value instanceof RegExp || dottedPath.accepts(value)
}

const selector: Rule = {
  expects: `${pattern.expects}, or { match, as }`,
  accepts: value => pattern.accepts(value) || isObject(value),
  read (value, path): Selector {
    if (pattern.accepts(value)) return { match: value, as: 'values' }
    const selector = readOptions<{ match: string | RegExp | undefined, as: SelectAs }>(path, value, {
      match: pattern, as: oneOf('values', 'elements', 'entries')
    }, { match: undefined, as: 'values' })
    return { match: readValue(`${path}.match`, selector.match, pattern) as string | RegExp, as: selector.as }
  }
}

export function readJsonStream (input: JsonStreamOptions): JsonStreamSettings {
  return readOptions('jsonStream', input, { ...rules(defaults), ordinaryRoutes: boolean }, defaults)
}

/** A route's settings over the plugin's. */
export function readRouteJsonStream (input: true | RouteJsonStreamOptions, { limits, idleTimeout, encodings, collectErrors }: BodySettings, route: string): RouteJsonStreamSettings {
  const path = `config.jsonStream of ${route}`
  const plugin = { limits, idleTimeout, encodings, collectErrors }
  const settings = readOptions<RouteJsonStreamSettings>(path, input, {
    ...rules(plugin), path: dottedPath, select: selector
  }, { ...plugin, path: [], select: undefined })
  if (settings.path.length > 0 && settings.select !== undefined) {
    throw new BadOption(`Expected \`${path}\` to have \`path\` or \`select\`, got both: a path is one array, a selection is what a pattern matches`)
  }
  return settings
}
