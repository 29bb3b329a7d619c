import assert from 'node:assert/strict'
import { test } from 'node:test'
import { boolean, bytes, either, func, integer, listOf, milliseconds, nearest, number, object, oneOf, path, readOptions, readValue, show, string, type Rule } from '../../plugins/shared/check.ts'

interface Options { limit: number, name: string | undefined, nested: { on: boolean } }
const rules = {
  limit: integer(1),
  name: string,
  nested: object((value, path) => readOptions<{ on: boolean }>(path, value, { on: boolean }, { on: true }))
}
const defaults: Options = { limit: 5, name: undefined, nested: { on: true } }
const read = (input: unknown) => readOptions<Options>('thing', input, rules, defaults)

test('undefined and true mean the defaults, and each caller gets a copy', () => {
  assert.deepEqual(read(undefined), defaults)
  assert.deepEqual(read(true), defaults)
  assert.notEqual(read({}), read({}))
})

test('a given value wins, an undefined one does not', () => {
  assert.deepEqual(read({ limit: 7, name: undefined }), { ...defaults, limit: 7 })
  assert.deepEqual(read({ nested: { on: false } }).nested, { on: false })
})

test('the error names key, value and expectation', () => {
  const cases: Array<[unknown, RegExp]> = [
    [{ limit: 0 }, /^Expected `thing\.limit` to be an integer ≥ 1, got 0$/],
    [{ limit: NaN }, /got NaN/],
    [{ limit: 1.5 }, /got 1\.5/],
    [{ limit: '3' }, /got '3'/],
    [{ limit: 3n }, /got 3/],
    [{ name: '' }, /a string that is not empty, got ''/],
    [{ nested: { on: 'yes' } }, /`thing\.nested\.on` to be true or false, got 'yes'/],
    [{ nested: [] }, /to be an object, got \[\]/],
    [5, /^Expected `thing` to be an object, got 5$/],
    [null, /got null/]
  ]
  for (const [input, message] of cases) assert.throws(() => read(input), { code: 'FST_SURGE_BAD_OPTION', message })
})

test('an unknown key gets the nearest name, or the list of all', () => {
  assert.throws(() => read({ limt: 3 }), { message: /^Unknown option `thing\.limt`\. Did you mean `limit`\? Got 3\.$/ })
  assert.throws(() => read({ LIMIT: 3 }), { message: /Did you mean `limit`/ })
  assert.throws(() => read({ colour: 3 }), { message: /Known: limit, name, nested\./ })
  assert.throws(() => read({ nested: { onn: true } }), { message: /`thing\.nested\.onn`.*Did you mean `on`/ })
})

test('a word that is nearly one that is accepted gets it, in a list too', () => {
  for (const [rule, value, message] of [
    [oneOf('local', 'open', 'closed'), 'opn', /got 'opn'\. Did you mean 'open'\?$/],
    [either(oneOf(false), listOf('gzip', 'br')), ['br', 'gzp'], /got \["br","gzp"\]\. Did you mean 'gzip'\?$/],
    [oneOf('local', 'open'), 'nothing like it', /got 'nothing like it'$/],
    [oneOf(0, 1), 5, /got 5$/]
  ] as Array<[Rule, unknown, RegExp]>) assert.throws(() => readValue('thing.word', value, rule), { code: 'FST_SURGE_BAD_OPTION', message })
})

test('names of Object.prototype are no options', () => {
  assert.throws(() => read(JSON.parse('{"__proto__": {"limit": 3}}')), { message: /__proto__/ })
  assert.throws(() => read({ constructor: 1 }), { message: /constructor/ })
})

test('what Fastify passes to every plugin passes', () => {
  assert.deepEqual(read({ prefix: '/x', logLevel: 'warn', logSerializers: {} }), defaults)
})

test('each rule accepts what it says and nothing else', () => {
  const cases: Array<[Rule, unknown[], unknown[]]> = [
    [integer(0, 2), [0, 2], [-1, 3, 0.5, '1', Infinity]],
    [milliseconds(), [1, 2 ** 31 - 1], [0, 2 ** 31, -1]],
    [bytes(), [0, 1e12], [-1, 0.1]],
    [number(0, 1), [0, 0.5, 1], [-0.1, 1.1, NaN, '1']],
    [boolean, [true, false], [0, 'true', null]],
    [func, [() => {}], ['f', {}]],
    [path, ['/', '/a'], ['a', '', 5]],
    [oneOf('a', false), ['a', false], ['b', true, null]],
    [listOf('a', 'b'), [['a'], ['b', 'a']], [[], ['a', 'a'], ['c'], 'a']],
    [either(integer(1), oneOf(false)), [1, false], [0, true]]
  ]
  for (const [rule, accepted, refused] of cases) {
    for (const value of accepted) assert.equal(rule.accepts(value), true, `${rule.expects}: ${show(value)}`)
    for (const value of refused) assert.equal(rule.accepts(value), false, `${rule.expects}: ${show(value)}`)
  }
})

test('nearest() finds typing errors and nothing far-fetched', () => {
  const known = ['concurrency', 'compression', 'deadline', 'rateLimit']
  assert.equal(nearest('concurency', known), 'concurrency')
  assert.equal(nearest('ratelimit', known), 'rateLimit')
  assert.equal(nearest('websocket', known), undefined)
  assert.equal(nearest('x', []), undefined)
})

test('show() quotes values as code would, shortened', () => {
  assert.equal(show('a'.repeat(100)).length, 63)
  assert.equal(show(undefined), 'undefined')
  assert.equal(show(function named () {}), 'a function (named)')
  assert.equal(show({ a: [1] }), '{"a":[1]}')
  const circular: any = {}
  circular.self = circular
  assert.equal(show(circular), '[object Object]')
})
