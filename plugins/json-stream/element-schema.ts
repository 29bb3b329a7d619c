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

  /** @param path where the array lies in a schema that describes the whole body */
  constructor (path: readonly string[]) {
    this.#path = path
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
      const schema = elementSchema(request.schema, this.#path)
      if (schema !== undefined) this.#validators.set(request.contentType ?? '', elementValidator(compile({ ...request, schema })))
      return () => true
    }
  }
}

/**
 * `body.items`, or the items of the array that the path leads to in a schema of the whole body.
 * @throws FST_SURGE_BAD_OPTION where there is none: elements would pass unjudged and nobody would know
 */
export function elementSchema (body: any, path: readonly string[]): unknown {
  if (isObject(body)) {
    if (isObject(body.items) || typeof body.items === 'boolean') return body.items
    if (typeof body.$ref === 'string') return { $ref: `${body.$ref}${body.$ref.includes('#') ? '' : '#'}/items` }
    const array: any = path.reduce((schema: any, key) => schema?.properties?.[key], body)
    if (array !== body && array?.items !== undefined) return array.items
    if (body.type === 'array' && body.items === undefined) return undefined
  }
  throw new BadOption(`Expected \`schema.body\` of a route with \`config.jsonStream\` to be a JSON schema with \`items\`, got ${show(body)}: elements are validated one by one`)
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
