// Finds the schema of one element in a route's body schema, and has it compiled by Fastify's own validator in place of the
// whole: the body as such is never there to be judged, and swagger still sees the schema that the route gave.
import { BadOption } from '../shared/errors.ts'
import { isObject, show } from '../shared/check.ts'
import { elementValidator, type ElementValidator } from './element-validator.ts'

interface CompileRequest { schema: any, httpPart?: string, contentType?: string }
type Compile = (request: any) => any

export interface BaseCompiler {
  compile: Compile
  /** Set by the user; Fastify lower-cases the names in header schemas for its own only. */
  custom: boolean
}

/** The validators of a route's elements, by content type, '' for a schema that is for all of them. */
export class ElementSchemas {
  readonly #validators = new Map<string, ElementValidator>()
  readonly #path: readonly string[]
  readonly #shared: Shared

  /** @param path where the array lies in a schema that describes the whole body */
  constructor (path: readonly string[], shared: Shared) {
    this.#path = path
    this.#shared = shared
  }

  get (mediaType: string | undefined): ElementValidator | undefined {
    return this.#validators.get(mediaType ?? '') ?? this.#validators.get('')
  }

  /** A route's validator compiler that judges elements instead of the body. */
  compiler (base: () => BaseCompiler): Compile {
    return (request: CompileRequest) => {
      const { compile, custom } = base()
      if (request.httpPart === 'headers' && !custom) return compile({ ...request, schema: lowerCaseNames(request.schema) })
      if (request.httpPart !== 'body') return compile(request)
      const schema = elementSchema(request.schema, this.#path, this.#shared, custom)
      this.#validators.set(request.contentType ?? '', elementValidator(compile({ ...request, schema })))
      return () => true
    }
  }
}

/** By its id, a schema that was added to the app. */
type Shared = (id: string) => unknown

/** A schema, and by what JSON pointer of what document it is reached. */
interface Place {
  schema: any
  document: any
  /** '' for the body's own document. */
  id: string
  pointer: string
}

let bodies = 0

/**
 * `body.items`, or the items of the array that the path leads to in a schema of the whole body. What its `$ref`s refer to goes with it.
 * @throws FST_SURGE_BAD_OPTION where there is none: elements would pass unjudged and nobody would know
 */
export function elementSchema (body: any, path: readonly string[], shared: Shared, custom: boolean): unknown {
  const whole: Place = { schema: body, document: body, id: '', pointer: '' }
  let place = follow(whole, shared)
  // Of a schema that only the validator knows, it has to find the items.
  if (place === undefined) return { $ref: `${body.$ref}${body.$ref.includes('#') ? '' : '#'}/items` }
  if (!hasItems(place.schema)) {
    for (const key of path) place &&= follow(within(place, `/properties/${escapePointer(key)}`), shared)
  }
  if (!hasItems(place?.schema)) {
    throw new BadOption(`Expected \`schema.body\` of a route with \`config.jsonStream\` to be a JSON schema with \`items\`, got ${show(body)}: elements are validated one by one. \`items: {}\` takes any`)
  }
  const { schema, id, pointer } = place!
  if (id !== '') return { $ref: `${id}#${pointer}/items` }

  /** A compiler of the app's own is handed no more around the items than they cannot do without. */
  function leads (id: string): boolean {
    return id === '' || (!custom && (body.$id !== undefined || shared(id) === undefined))
  }
  return refersOutside(schema.items, leads) ? withDocument(body, `${pointer}/items`) : schema.items
}

function hasItems (schema: any): boolean {
  return isObject(schema) && (isObject(schema.items) || typeof schema.items === 'boolean')
}

/** Where the `$ref`s of a schema lead; `undefined` where that is no schema of the app. */
function follow (place: Place | undefined, shared: Shared): Place | undefined {
  const seen = new Set<unknown>()
  while (typeof place?.schema?.$ref === 'string' && !hasItems(place.schema) && !seen.has(place.schema)) {
    seen.add(place.schema)
    const [id = '', pointer = '']: string[] = place.schema.$ref.split('#')
    const document = id === '' || id === place.document.$id ? place.document : shared(id)
    place = document === undefined ? undefined : within({ schema: document, document, id: id === '' ? place.id : id, pointer: '' }, pointer)
  }
  return place
}

function within (place: Place, pointer: string): Place | undefined {
  const schema = pointer.split('/').slice(1).reduce((schema, part) => schema?.[unescapePointer(part)], place.schema)
  return schema === undefined ? undefined : { ...place, schema, pointer: place.pointer + pointer }
}

/** RFC 6901, in a URI fragment. */
function escapePointer (key: string): string {
  return encodeURIComponent(key.replaceAll('~', '~0').replaceAll('/', '~1'))
}

function unescapePointer (part: string): string {
  return decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~')
}

/** Whether a part of a schema, taken by itself, would have references that lead nowhere; `leads` to the rest of the body, by the id that one has. */
function refersOutside (schema: unknown, leads: (id: string) => boolean): boolean {
  if (Array.isArray(schema)) return schema.some(part => refersOutside(part, leads))
  // A schema that is not JSON, such as one of Zod, has references of its own kind.
  if (!isObject(schema) || Object.getPrototypeOf(schema) !== Object.prototype) return false
  const { $ref } = schema as { $ref?: unknown }
  return (typeof $ref === 'string' && leads($ref.split('#')[0]!)) || Object.values(schema).some(part => refersOutside(part, leads))
}

/** The part of a body's schema that is at `pointer`, with the whole beside it, as a resource of its own: so `#` means what it meant. */
function withDocument ({ $ref, ...body }: any, pointer: string): unknown {
  const $id = body.$id ?? `fastify-surge-body-${++bodies}`
  // Ajv would follow a reference of the document itself when it looks for parts of it.
  const document = $ref === undefined ? { ...body, $id } : { ...body, $id, allOf: [{ $ref }, ...body.allOf ?? []] }
  return { $ref: `${$id}#${pointer}`, definitions: { body: document } }
}

/** Node gives header names in lower case (RFC 9110 section 5.1: their case means nothing), so a schema has to use it. */
function lowerCaseNames (schema: any): unknown {
  if (!isObject(schema)) return schema
  const lowered = { ...schema }
  if (Array.isArray(schema.required)) lowered.required = schema.required.map((name: string) => name.toLowerCase())
  if (isObject(schema.properties)) {
    lowered.properties = Object.fromEntries(Object.entries(schema.properties).map(([name, value]) => [name.toLowerCase(), value]))
  }
  return lowered
}
