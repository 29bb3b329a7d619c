// Keeps whole representations by the version that the app gives its resource, so that a request for one that is known
// costs no handler, serialisation or hash. It prevents handing out bytes that were made for somebody else: what they
// may depend on is in the key.
//
//   route · scheme · host · url · coding · fields that Vary named · version   ─▶ one hash
//   and whose: everybody's (Cache-Control: public), nobody's, or these credentials'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { isPromise } from '../shared/promise.ts'
import type { Choice } from './negotiation.ts'
import type { Kept, RepresentationCache } from './representation-cache.ts'
import { contentHash } from './validator.ts'

/** Undefined and null say that it is not known; then the handler answers, and its reply is not kept. */
export type Version = string | number | bigint | null | undefined

/** Runs behind the hooks and the validation of its route, before its handler. */
export type VersionOf = (request: FastifyRequest) => Version | Promise<Version>

type Field = number | string | string[] | undefined
type Fields = Record<string, Field>

export interface Representation extends Kept {
  /** Its tag, and that of the plain representation of the resource. */
  readonly tag: string | undefined
  readonly plain: string | undefined
  /** What handler, serialisation and encoding did to the reply's fields; undefined removes one. */
  readonly fields: ReadonlyArray<readonly [string, Field]>
}

/** What is known of a request whose handler has to answer. */
export interface Noted {
  readonly version: Version
  readonly choice: Choice
  /** The reply's fields before the handler ran. */
  readonly before: Fields
}

/** Past it the representations of a route are not kept: nobody sends so many on purpose. */
const MAX_VARYING_FIELDS = 8

/** They belong to the connection, or are made anew for each reply. */
const NOT_KEPT = new Set(['connection', 'keep-alive', 'transfer-encoding', 'upgrade', 'trailer', 'content-length', 'date', 'age', 'retry-after', 'set-cookie'])

const PUBLIC = 'public'
const ANONYMOUS = 'anonymous'

export class Versions {
  readonly #cache: RepresentationCache
  readonly #route: string
  readonly ask: VersionOf
  /** Names of fields that `Vary` of any reply named; each that is added leaves the older entries out of reach. */
  #varying: readonly string[] = []

  constructor (cache: RepresentationCache, route: string, ask: VersionOf) {
    this.#cache = cache
    this.#route = route
    this.ask = ask
  }

  find (request: FastifyRequest, choice: Choice, version: Version): Representation | undefined {
    const base = this.#base(request, choice, version)
    return this.#cache.find(`${base} ${PUBLIC}`, `${base} ${credentialsOf(request)}`) as Representation | undefined
  }

  /** Keeps what is on its way to the client, from the second time on, if its version still is the one that was asked for before. */
  offer (request: FastifyRequest, reply: FastifyReply, noted: Noted, body: string | Buffer, plainBytes: number | undefined, tag: string | undefined, plain: string | undefined): void {
    const after = reply.getHeaders() as Fields
    const owner = ownerOf(request, after['cache-control'])
    if (owner === undefined || setsCookie(noted.before, after) || !this.#learn(after.vary)) return
    const key = `${this.#base(request, noted.choice, noted.version)} ${owner}`
    if (!this.#cache.admits(key)) return

    const fields = changes(noted.before, after)
    const extra = 2 * JSON.stringify(fields).length
    const representation: Representation = { bytes: typeof body === 'string' ? Buffer.from(body) : body, plainBytes, extra, tag, plain, fields }
    const keep = (version: Version): void => {
      // The resource may have changed under the handler: then nobody can tell which version it read.
      if (version === noted.version) this.#cache.keep(key, representation)
    }
    try {
      const version = this.ask(request)
      if (isPromise(version)) version.then(keep, () => {})
      else keep(version)
    } catch {
      // It was answered a moment ago. Not kept, then.
    }
  }

  #base (request: FastifyRequest, choice: Choice, version: Version): string {
    const parts = [this.#route, request.protocol, request.host, request.url, choice.encoding, String(choice.identity)]
    for (const name of this.#varying) parts.push(String(request.headers[name] ?? ''))
    // Last, since it is the only one that may hold a line break.
    parts.push(typeof version, String(version))
    return contentHash(parts.join('\n'))
  }

  /** False when what the reply varies by cannot be told. */
  #learn (vary: Field): boolean {
    const unknown = String(vary ?? '').toLowerCase().split(',').map(name => name.trim())
      .filter(name => name !== '' && name !== 'accept-encoding' && !this.#varying.includes(name))
    if (unknown.includes('*') || this.#varying.length + unknown.length > MAX_VARYING_FIELDS) return false
    if (unknown.length > 0) this.#varying = [...this.#varying, ...unknown]
    return true
  }
}

/** Anything else, a Date among them, has not a word for each version: two would be taken for one. */
export function isVersion (version: unknown): version is string | number | bigint {
  return typeof version === 'string' || typeof version === 'bigint' || (typeof version === 'number' && !Number.isNaN(version))
}

/** Hashed, because the key outlives the request. */
function credentialsOf ({ headers: { authorization, cookie } }: FastifyRequest): string {
  return authorization === undefined && cookie === undefined ? ANONYMOUS : contentHash(`${authorization ?? ''}\n${cookie ?? ''}`)
}

/**
 * Whose the representation is: without `public` that of the request's credentials (RFC 9111 section 3.5); undefined
 * when it may not be kept (`no-store`), or is private to somebody whom we cannot tell from others.
 */
function ownerOf (request: FastifyRequest, cacheControl: Field): string | undefined {
  const directives = String(cacheControl ?? '').toLowerCase().split(',').map(directive => directive.trim().split('=')[0])
  if (directives.includes('no-store')) return undefined
  const owner = credentialsOf(request)
  if (directives.includes('private')) return owner === ANONYMOUS ? undefined : owner
  return directives.includes('public') ? PUBLIC : owner
}

/** A cookie is meant for one client, whoever set it. */
function setsCookie (before: Fields, after: Fields): boolean {
  return countOf(after['set-cookie']) > countOf(before['set-cookie'])
}

function countOf (field: Field): number {
  return field === undefined ? 0 : Array.isArray(field) ? field.length : 1
}

/** Fields that hooks set before the handler are set anew for each request, and are not ours to repeat. */
function changes (before: Fields, after: Fields): Array<[string, Field]> {
  const names = new Set([...Object.keys(before), ...Object.keys(after)])
  return [...names].filter(name => before[name] !== after[name] && !NOT_KEPT.has(name)).map(name => [name, after[name]])
}
