import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Negotiator, type Encoding } from '../../plugins/compression/negotiation.ts'

type Coding = Encoding | 'identity'
const ORDER: Coding[] = ['br', 'gzip', 'deflate']

function chosen (field: string | undefined, order = ORDER): string {
  return new Negotiator(order).choose(field).encoding
}

test('weights, exclusions and the wildcard', () => {
  const table: Array<[string | undefined, string]> = [
    [undefined, 'identity'],
    ['', 'identity'],
    ['gzip', 'gzip'],
    ['GZip', 'gzip'],
    ['x-gzip', 'gzip'],
    ['gzip, deflate, br', 'br'],
    ['gzip;q=1.0, br;q=0.9', 'gzip'],
    ['gzip ; q=0.5 , deflate;q=0.8', 'deflate'],
    ['gzip;q=0', 'identity'],
    ['gzip;q=0.000, br', 'br'],
    ['*', 'br'],
    ['*;q=0.5', 'br'],
    ['br;q=0, *', 'gzip'],
    ['gzip;q=0, *', 'br'],
    ['*;q=0, gzip', 'gzip'],
    ['identity', 'identity'],
    ['identity, gzip;q=0.5', 'identity'],
    ['identity;q=0.5, gzip', 'gzip'],
    ['identity;q=0, gzip;q=0.001', 'gzip'],
    ['compress, exi', 'identity'],
    ['gzip;q=2', 'identity'],
    ['gzip;q=-1', 'identity'],
    ['gzip;q=0.1234', 'identity'],
    ['gzip;level=9', 'identity'],
    ['gzipped, notbr', 'identity'],
    [',,gzip,,', 'gzip'],
    ['gzip, gzip;q=0', 'gzip']
  ]
  for (const [field, encoding] of table) assert.equal(chosen(field), encoding, field)
})

test("the server's order breaks ties, and identity has the place that it is given", () => {
  assert.equal(chosen('br, gzip', ['gzip', 'br']), 'gzip')
  assert.equal(chosen('gzip, identity', ['identity', 'gzip']), 'identity')
  assert.equal(chosen('*', ['identity', 'gzip']), 'identity')
  assert.equal(chosen('br', ['gzip']), 'identity')
  assert.equal(chosen('gzip', ['identity']), 'identity')
})

test('plain bytes can be excluded by name and by the wildcard', () => {
  const table: Array<[string, boolean, boolean]> = [
    ['gzip', true, true],
    ['identity;q=0', false, false],
    ['*;q=0', false, false],
    ['*;q=0, identity', true, true],
    ['gzip, *;q=0', false, true],
    ['identity;q=0, *', false, true],
    ['hello', true, false],
    ['', true, true]
  ]
  for (const [field, identity, listed] of table) {
    const choice = new Negotiator(ORDER).choose(field)
    assert.equal(choice.identity, identity, field)
    assert.equal(choice.listed, listed, field)
  }
})

test('a field is read once, and a flood of different ones changes no answer', () => {
  const negotiator = new Negotiator(ORDER)
  assert.equal(negotiator.choose('gzip, br'), negotiator.choose('gzip, br'))
  for (let i = 0; i < 1000; i++) assert.equal(negotiator.choose(`gzip;q=0.${i % 9 + 1}, x${i}`).encoding, 'gzip')
  assert.equal(negotiator.choose('gzip, br').encoding, 'br')
  assert.equal(negotiator.choose(`${'x, '.repeat(500)}gzip`).encoding, 'gzip')
})

/** Section 12.5.3 word by word, on members that are known to be well formed. */
function naive (members: Array<{ name: string, q: number }>, order: Coding[]): string {
  const first = (name: string) => members.find(member => member.name === name)
  const weight = (coding: string) => (first(coding) ?? first('*'))?.q ?? 0
  const candidates = [...order, ...(order.includes('identity') ? [] : ['identity' as const])]
    .map((coding, place) => ({ coding, place, q: weight(coding) }))
    .filter(({ q }) => q > 0)
    .sort((a, b) => b.q - a.q || a.place - b.place)
  return candidates[0]?.coding ?? 'identity'
}

test('agrees with a naive negotiator on any well-formed field', () => {
  const member = fc.record({ name: fc.constantFrom('gzip', 'br', 'deflate', 'zstd', 'identity', '*', 'compress', 'foo'), q: fc.integer({ min: 0, max: 1000 }).map(n => n / 1000) })
  const order = fc.shuffledSubarray<Coding>(['gzip', 'br', 'deflate', 'zstd', 'identity'], { minLength: 1 })
  const space = fc.constantFrom('', ' ', '\t')
  fc.assert(fc.property(fc.array(member, { maxLength: 7 }), order, space, space, fc.boolean(), (members, order, before, after, upper) => {
    const text = members.map(({ name, q }) => `${before}${upper ? name.toUpperCase() : name}${q === 1 ? '' : `${after};${before}q=${q}`}`).join(`${after},`)
    assert.equal(chosen(text, order), naive(members, order), text)
  }), { numRuns: 2000 })
})

test('never throws, and never chooses what the field does not allow, whatever it says', () => {
  const soup = fc.array(fc.constantFrom('gzip', 'br', '*', ';', ',', 'q=', '0', '1', '.', ' ', '=', '"', 'identity', '\t', 'é'), { maxLength: 20 }).map(parts => parts.join(''))
  fc.assert(fc.property(fc.oneof(soup, fc.string()), field => {
    const { encoding } = new Negotiator(ORDER).choose(field)
    if (encoding !== 'identity') assert.ok(field.toLowerCase().includes(encoding) || field.includes('*'), field)
  }), { numRuns: 2000 })
})
