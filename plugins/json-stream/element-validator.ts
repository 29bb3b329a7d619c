// Judges elements by the function that Fastify's validator compiler made of `schema.body.items`, in the three ways in which
// such functions answer: false with `errors`, `{ error }`, or `{ value }`.
import { JsonStreamMisuse } from '../shared/errors.ts'

export interface ElementFault {
  message: string
  validation: unknown
}

/** Judges `elements[at]`, which it may replace: coercion and defaults are the validator's. */
export type ElementValidator = (elements: unknown[], at: number) => ElementFault | undefined

type Compiled = ((data: unknown, context?: object) => any) & { errors?: unknown, schemaEnv?: unknown }

export function elementValidator (compiled: Compiled): ElementValidator {
  return function validateElement (elements, at) {
    // Ajv changes a scalar in its parent, so it has to know it.
    const answer = compiled.schemaEnv === undefined
      ? compiled(elements[at])
      : compiled(elements[at], { instancePath: '', parentData: elements, parentDataProperty: at, rootData: elements })
    if (typeof answer?.then === 'function') throw new JsonStreamMisuse('Elements are validated as they come in, so their schema cannot be asynchronous')
    if (answer === false) return fault(compiled.errors)
    if (answer?.error) return fault(answer.error)
    if (typeof answer === 'object' && answer !== null && 'value' in answer) elements[at] = answer.value
    return undefined
  }
}

function fault (errors: any): ElementFault {
  const first = Array.isArray(errors) ? errors[0] : errors
  const message = first?.message ?? 'is not valid'
  return { message: first?.instancePath ? `${first.instancePath} ${message}` : message, validation: errors }
}
