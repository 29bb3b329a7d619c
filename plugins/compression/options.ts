// The options of the compression plugin: those of @fastify/compress under their own names, the tags, and the cache.
import { availableParallelism } from 'node:os'
import type { FastifyCompressOptions } from '@fastify/compress'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { boolean, bytes, either, func, integer, isObject, listOf, object, oneOf, readOptions, show, string, type Rule, type Rules } from '../shared/check.ts'
import { BadOption } from '../shared/errors.ts'
import { AVAILABLE, Encoder } from './encoder.ts'
import type { TagMode } from './entity-tag.ts'
import { ENCODINGS, type Encoding } from './negotiation.ts'
import type { CacheOptions } from './representation-cache.ts'
import { hashFnOf, type HashFn } from './validator.ts'
import type { VersionOf } from './versions.ts'

/** What a route can set for itself. */
export interface RouteOptions {
  /** Content codings in order of preference, which decides where the client has none. @default ['zstd', 'br', 'gzip', 'deflate'], as far as Node has them */
  encodings: ReadonlyArray<Encoding | 'identity'>
  /** Bytes from which a body is encoded. An integer ≥ 0. @default 1024 */
  threshold: number
  /** Bytes up to which a body is encoded on the event loop, which is cheaper; above, on libuv's threads. An integer ≥ 0. @default 8192, 65536 on a single core */
  syncThreshold: number
  /** Further media types that are worth encoding, beside those of mime-db. @default none */
  customTypes: FastifyCompressOptions['customTypes']
  /** How the ETag follows the coding; false makes no tags and answers no preconditions. @default 'weak-when-encoded' */
  etag: TagMode
  /** Hashes a body into a tag, as in @fastify/etag. @default 132 bits of SHA-256 */
  hashFn: HashFn | undefined
  /** A digest of node:crypto instead of `hashFn`, as in @fastify/etag. @default none */
  algorithm: string | undefined
  /** node:zlib's options for brotli; its quality is 4 unless `params` sets it. @default none */
  brotliOptions: FastifyCompressOptions['brotliOptions']
  /** node:zlib's options for gzip and deflate. @default none */
  zlibOptions: FastifyCompressOptions['zlibOptions']
  /** Replaces node:zlib, as a whole or in part. @default none */
  zlib: unknown
  /** Payloads that look like gzip or zlib are decompressed first. @default false */
  inflateIfDeflated: boolean
  /** A stream that is encoded loses its Content-Length. @default true */
  removeContentLengthHeader: boolean
  /** Makes the reply when Accept-Encoding names nothing that can be had. @default plain bytes, or 406 where they are excluded */
  onUnsupportedEncoding: ((encoding: string, request: FastifyRequest, reply: FastifyReply) => unknown) | undefined
}

export interface ResolvedOptions extends RouteOptions {
  /** Encodes every route's replies; false leaves it to `reply.compress()` and to routes that ask for it. Tags are made in either case. @default true */
  global: boolean
  /** Keeps encoded bodies that come back; false keeps none. @default { maxBytes: 33554432, maxEntryBytes: 2097152 } */
  cache: CacheOptions | false
  /** Compression contexts of streams and large bodies that are open at a time; past it a reply goes out plain. An integer ≥ 0. @default 128 */
  maxContexts: number
}

export type CompressionOptions = Partial<Omit<ResolvedOptions, 'cache'>> & { cache?: Partial<CacheOptions> | boolean }

export interface OwnOptions {
  /**
   * A cheap version of the resource. A request whose representation was kept under it is answered 200 or 304 without
   * the handler. See the limits in the docs: what the handler's reply depends on has to be in it.
   */
  version: VersionOf | undefined
}

/** What a route may say in `config.compression`; `false` leaves its replies alone. */
export type RouteCompression = Partial<RouteOptions & OwnOptions> | boolean

const cacheDefaults: CacheOptions = { maxBytes: 32 * 1024 * 1024, maxEntryBytes: 2 * 1024 * 1024 }

const defaults: ResolvedOptions = {
  encodings: AVAILABLE,
  threshold: 1024,
  syncThreshold: availableParallelism() > 1 ? 8 * 1024 : 64 * 1024,
  customTypes: undefined,
  etag: 'weak-when-encoded',
  hashFn: undefined,
  algorithm: undefined,
  brotliOptions: undefined,
  zlibOptions: undefined,
  zlib: undefined,
  inflateIfDeflated: false,
  removeContentLengthHeader: true,
  onUnsupportedEncoding: undefined,
  global: true,
  cache: cacheDefaults,
  maxContexts: 128
}

const zlibObject: Rule = { expects: "an object of node:zlib's options", accepts: isObject }

const routeRules: Rules<RouteOptions> = {
  encodings: { ...listOf(...ENCODINGS, 'identity'), read: readEncodings },
  threshold: bytes(),
  syncThreshold: bytes(),
  customTypes: { expects: 'a regular expression or a function', accepts: value => value instanceof RegExp || typeof value === 'function' },
  etag: oneOf('weak-when-encoded', 'per-encoding', 'weak', false),
  hashFn: func,
  algorithm: { expects: 'a digest that node:crypto knows', accepts: isDigest },
  brotliOptions: zlibObject,
  zlibOptions: zlibObject,
  zlib: { expects: 'an object like node:zlib', accepts: value => typeof value === 'object' && value !== null },
  inflateIfDeflated: boolean,
  removeContentLengthHeader: boolean,
  onUnsupportedEncoding: func
}

const ownRules: Rules<RouteOptions & OwnOptions> = { ...routeRules, version: func }

const cacheRules: Rules<CacheOptions> = { maxBytes: bytes(), maxEntryBytes: bytes() }

const rules: Rules<ResolvedOptions> = {
  ...routeRules,
  global: boolean,
  cache: either(oneOf(false, true), object((input, path) => readOptions(path, input, cacheRules, cacheDefaults))),
  maxContexts: integer(0)
}

/** A coding that this Node lacks is left out; a list of nothing else would silently turn encoding off. */
function readEncodings (list: Array<Encoding | 'identity'>, path: string): Array<Encoding | 'identity'> {
  const available = list.filter(encoding => encoding === 'identity' || AVAILABLE.includes(encoding))
  if (available.length === 0) throw new BadOption(`Expected \`${path}\` to name a coding that Node ${process.version} has (${AVAILABLE.join(', ')}), got ${show(list)}`)
  return available
}

function isDigest (value: unknown): boolean {
  if (!string.accepts(value)) return false
  try {
    hashFnOf(value as string)
    return true
  } catch {
    return false
  }
}

/** @throws FST_SURGE_BAD_OPTION */
export function readCompression (input: CompressionOptions): ResolvedOptions {
  const options = readOptions<ResolvedOptions>('compression', input, rules, defaults)
  if ((options.cache as unknown) === true) options.cache = cacheDefaults
  checkTogether('compression', options)
  return options
}

export interface RouteInput {
  /** The route's `compress` option, as @fastify/compress has it. */
  compress: unknown
  /** Its `decompress` option. */
  decompress: unknown
  /** Its `config.compression`, or the umbrella's override. */
  config: unknown
  /** 'GET /items', for errors. */
  route: string
  methods: readonly string[]
}

export interface RouteSettings {
  options: RouteOptions
  /** False makes tags only, and leaves encoding to `reply.compress()` where `onDemand`. */
  encode: boolean
  /** `reply.compress()` encodes. */
  onDemand: boolean
  version: VersionOf | undefined
}

/**
 * What holds for one route: the plugin's options, over them its `compress`, over those its `config.compression`
 * (fastify-compress#340: a route's options are laid over the global ones, and reset none). Undefined leaves the route alone.
 * @throws FST_SURGE_BAD_OPTION
 */
export function readRoute ({ compress, decompress, config, route, methods }: RouteInput, options: ResolvedOptions): RouteSettings | undefined {
  if (decompress !== undefined && decompress !== false) {
    throw new BadOption(`\`decompress\` of ${route} has no effect: fastify-surge leaves request bodies as they are. Remove it, or decompress in a preParsing hook of the route`)
  }
  if (config === false) return undefined
  if (compress !== undefined && compress !== false && !isObject(compress)) {
    throw new BadOption(`Expected \`compress\` of ${route} to be false or an object, got ${show(compress)}`)
  }
  const path = `config.compression of ${route}`
  if (config !== undefined && config !== true && !isObject(config)) throw new BadOption(`Expected \`${path}\` to be true, false or an object, got ${show(config)}`)
  const optedOut = compress === false
  let merged: RouteOptions = options
  if (isObject(compress)) merged = readOptions<RouteOptions>(`compress of ${route}`, compress, routeRules, merged)
  let version: VersionOf | undefined
  if (isObject(config)) {
    ({ version, ...merged } = readOptions<RouteOptions & OwnOptions>(path, config, ownRules, { ...merged, version }))
  }
  if (merged !== options) checkTogether(path, merged)
  if (version !== undefined && !methods.includes('GET')) throw new BadOption(`\`${path}.version\` has no effect: only replies to GET and HEAD are kept. Remove it`)
  if (version !== undefined && options.cache === false) throw new BadOption(`\`${path}.version\` has no effect with \`compression.cache: false\`: remove one of them`)
  const asked = isObject(compress) || config !== undefined
  return { options: merged, encode: !optedOut && (options.global || asked), onDemand: !optedOut, version }
}

/** What one rule alone cannot tell. */
function checkTogether (path: string, options: RouteOptions): Encoder {
  if (options.hashFn !== undefined && options.algorithm !== undefined) {
    throw new BadOption(`Expected one of \`${path}.hashFn\` and \`${path}.algorithm\`, got both`)
  }
  try {
    // zlib checks its options when a context is opened, which would be at a client's request.
    return new Encoder(options)
  } catch (err) {
    throw new BadOption(`Expected \`${path}.brotliOptions\` and \`zlibOptions\` to be options that node:zlib takes: ${(err as Error).message}`)
  }
}
