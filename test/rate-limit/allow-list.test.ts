import assert from 'node:assert/strict'
import { test } from 'node:test'
import { listed } from '../../plugins/rate-limit/allow-list.ts'
import { AddressKeys } from '../../plugins/rate-limit/official.ts'

const addresses = new AddressKeys()

function lets (list: string[], ip: string | undefined, key = 'somebody'): boolean {
  return listed<{ ip: string | undefined }>(list, addresses.of)({ ip }, key)
}

test('a key as it is, a number too', () => {
  assert.equal(lets(['vip'], '192.0.2.1', 'vip'), true)
  assert.equal(lets(['42'], '192.0.2.1', 42 as unknown as string), true)
  assert.equal(lets(['vip'], 'vip', 'bob'), false)
  assert.equal(lets([], '192.0.2.1'), false)
})

test('an address in whichever form, whatever the key', () => {
  for (const [listedAs, comesAs] of [['192.0.2.1', '192.0.2.1'], ['192.0.2.1', '::ffff:192.0.2.1'], ['::ffff:192.0.2.1', '192.0.2.1'], ['2001:db8::1', '2001:DB8:0::1']] as const) {
    assert.equal(lets([listedAs], comesAs), true, `${listedAs} ${comesAs}`)
  }
  assert.equal(lets(['2001:db8::1'], '2001:db8::2'), false)
})

test('a prefix, at its borders; what is none is a key', () => {
  const rows: [prefix: string, ip: string | undefined, within: boolean][] = [
    ['10.0.0.0/8', '10.0.0.0', true], ['10.0.0.0/8', '10.255.255.255', true], ['10.0.0.0/8', '11.0.0.0', false], ['10.0.0.0/8', '::ffff:10.1.2.3', true],
    ['192.0.2.7/32', '192.0.2.7', true], ['192.0.2.7/32', '192.0.2.8', false], ['0.0.0.0/0', '203.0.113.9', true],
    ['2001:db8::/32', '2001:db8:ffff::1', true], ['2001:db8::/32', '2001:db9::1', false], ['2001:db8::/32', '10.0.0.1', false],
    ['10.0.0.0/33', '10.0.0.0', false], ['10.0.0.0/', '10.0.0.0', false], ['x/8', '10.0.0.0', false], ['10.0.0.0/8', 'unknown', false], ['10.0.0.0/8', '', false], ['10.0.0.0/8', undefined, false]
  ]
  for (const [prefix, ip, within] of rows) assert.equal(lets([prefix], ip), within, `${prefix} ${ip}`)
  assert.equal(lets(['/items/8'], '10.0.0.1', '/items/8'), true)
})
