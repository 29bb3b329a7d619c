// Carries what a task throws from its thread to the caller, with stack, name, code and other own properties. A
// structured clone keeps message and stack only, and makes a plain object of a FastifyError (piscina#1143).
import { inspect } from 'node:util'

type Packed =
  | { kind: 'error', base: string, message: string, stack: string | undefined, own: OwnProperty[] }
  | { kind: 'list', items: Packed[] }
  | { kind: 'value', value: unknown }

interface OwnProperty { key: string, enumerable: boolean, value: Packed }

/** What a thread posts for a throw; `unpack` makes what was thrown of it. */
export interface Thrown { fastifySurgeThrown: Packed }

/** A clone loses other classes anyway; these are told apart by `instanceof` on both sides. */
const bases = { Error, AggregateError, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError }

export function pack (thrown: unknown): Thrown {
  return { fastifySurgeThrown: packValue(thrown, []) ?? { kind: 'value', value: inspect(thrown) } }
}

export function isThrown (value: unknown): value is Thrown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, 'fastifySurgeThrown')
}

export function unpack ({ fastifySurgeThrown }: Thrown): unknown {
  return unpackValue(fastifySurgeThrown)
}

/** undefined for what can't be sent, and for an error inside itself. */
function packValue (value: unknown, inside: Error[]): Packed | undefined {
  if (value instanceof Error) return inside.includes(value) ? undefined : packError(value, [...inside, value])
  if (Array.isArray(value) && value.some(item => item instanceof Error)) {
    return { kind: 'list', items: value.map(item => packValue(item, inside)).filter(item => item !== undefined) }
  }
  try {
    return { kind: 'value', value: structuredClone(value) }
  } catch {
    return undefined
  }
}

function packError (error: Error, inside: Error[]): Packed {
  const base = Object.entries(bases).findLast(([, Base]) => error instanceof Base)?.[0] ?? 'Error'
  const own: OwnProperty[] = []
  for (const [key, { enumerable = false }] of Object.entries(Object.getOwnPropertyDescriptors(error))) {
    if (key === 'message' || key === 'stack' || key === 'name') continue
    const value = packValue((error as unknown as Record<string, unknown>)[key], inside)
    if (value !== undefined) own.push({ key, enumerable, value })
  }
  const { name, message, stack } = error
  // A class may have its name on the prototype.
  if (name !== base) own.push({ key: 'name', enumerable: false, value: { kind: 'value', value: String(name) } })
  return { kind: 'error', base, message: String(message), stack: stack === undefined ? undefined : String(stack), own }
}

function unpackValue (packed: Packed): unknown {
  if (packed.kind === 'value') return packed.value
  if (packed.kind === 'list') return packed.items.map(unpackValue)
  const base = packed.base as keyof typeof bases
  // Its errors are an own property as well.
  const error = base === 'AggregateError' ? new AggregateError([], packed.message) : new bases[base](packed.message)
  define(error, 'stack', packed.stack, false)
  for (const { key, enumerable, value } of packed.own) define(error, key, unpackValue(value), enumerable)
  return error
}

function define (error: Error, key: string, value: unknown, enumerable: boolean): void {
  Object.defineProperty(error, key, { value, enumerable, writable: true, configurable: true })
}
