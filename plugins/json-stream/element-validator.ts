// Judges elements by the function that Fastify's validator compiler made of `schema.body.items`, in the three ways in which
// such functions answer: false with `errors`, `{ error }`, or `{ value }`.
import { BadOption, JsonStreamMisuse } from '../shared/errors.ts'

export interface ElementFault {
  message: string
  validation: unknown
}

/** Judges `elements[at]`, which it may replace: coercion and defaults are the validator's. */
export type ElementValidator = (elements: unknown[], at: number) => ElementFault | undefined

type Compiled = ((data: unknown, context?: object) => any) & { errors?: unknown, schemaEnv?: { $async?: boolean } }

/** @throws FST_SURGE_BAD_OPTION for a schema that Ajv validates asynchronously */
export function elementValidator (compiled: Compiled): ElementValidator {
  if (compiled.schemaEnv?.$async) throw new BadOption('Expected the schema of elements without `$async`: they are validated as they come in')
  return function validateElement (elements, at) {
    // Ajv changes a scalar in its parent, so it has to know it.
    const answer = compiled.schemaEnv === undefined
      ? compiled(elements[at])
      : compiled(elements[at], { instancePath: '', parentData: elements, parentDataProperty: at, rootData: elements })
    if (typeof answer?.then === 'function') {
      // Nobody waits for it, and a rejection that nobody handles ends the process.
      answer.then(undefined, () => {})
      throw new JsonStreamMisuse('Elements are validated as they come in, so their schema cannot be asynchronous')
    }
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
