import assert from 'node:assert/strict'
import { test } from 'node:test'
import createError from '@fastify/error'
import { isThrown, pack, unpack } from '../../plugins/worker-pool/thrown.ts'

/** As it arrives on the other side. */
function carried (thrown: unknown): any {
  const posted = structuredClone(pack(thrown))
  assert.ok(isThrown(posted))
  return unpack(posted)
}

test('an error keeps class, message, stack, name, code and other own properties (piscina#1143)', () => {
  class Lost extends RangeError {
    override name = 'Lost'
    code = 'E_LOST'
    statusCode = 404
  }
  const error = new Lost('gone')
  const arrived = carried(error)
  assert.equal(Object.getPrototypeOf(arrived), RangeError.prototype)
  assert.equal(arrived.message, 'gone')
  assert.equal(arrived.name, 'Lost')
  assert.equal(arrived.code, 'E_LOST')
  assert.equal(arrived.statusCode, 404)
  assert.equal(arrived.stack, error.stack)
  assert.deepEqual(Object.keys(arrived), ['code', 'statusCode'])
})

test('a FastifyError stays an error with its stack: a structured clone makes a plain object of it', () => {
  const error = new (createError('E_TEAPOT', 'I am a %s', 418))('teapot')
  assert.ok(!(structuredClone(error) instanceof Error))
  const arrived = carried(error)
  assert.ok(arrived instanceof Error)
  assert.equal(arrived.message, 'I am a teapot')
  assert.equal((arrived as any).code, 'E_TEAPOT')
  assert.equal((arrived as any).statusCode, 418)
  assert.equal(arrived.stack, error.stack)
})

test('causes and the errors of an AggregateError keep theirs', () => {
  const cause = Object.assign(new TypeError('inner'), { code: 'E_INNER' })
  const arrived = carried(new AggregateError([cause, 7], 'outer', { cause }))
  assert.equal(Object.getPrototypeOf(arrived), AggregateError.prototype)
  assert.deepEqual(Object.keys(arrived), [])
  assert.equal(arrived.message, 'outer')
  assert.equal(arrived.name, 'AggregateError')
  assert.equal(arrived.cause.code, 'E_INNER')
  assert.ok(arrived.cause instanceof TypeError)
  assert.equal(arrived.errors[0].code, 'E_INNER')
  assert.equal(arrived.errors[1], 7)
})

test('what cannot be cloned is dropped, and an error inside itself too', () => {
  const error: any = new Error('odd')
  error.callback = () => {}
  error.cause = error
  error.kept = new Map([[1, 2]])
  const arrived = carried(error)
  assert.deepEqual(Object.keys(arrived), ['kept'])
  assert.deepEqual(arrived.kept, new Map([[1, 2]]))
})

test('a property named __proto__ sets no prototype', () => {
  const error = new Error('sly')
  Object.defineProperty(error, '__proto__', { value: { polluted: true }, enumerable: true })
  const arrived = carried(error)
  assert.equal(Object.getPrototypeOf(arrived), Error.prototype)
  assert.equal(arrived.polluted, undefined)
})

test('what is no error arrives as it is, or as text', () => {
  assert.equal(carried('text'), 'text')
  assert.equal(carried(undefined), undefined)
  assert.deepEqual(carried({ code: 1 }), { code: 1 })
  assert.match(carried(() => {}), /Function/)
})

test('a result that looks like a plain object is not taken for a throw', () => {
  assert.equal(isThrown({ message: 'x', stack: 'y' }), false)
  assert.equal(isThrown(null), false)
})
