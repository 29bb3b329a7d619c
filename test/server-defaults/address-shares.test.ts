import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AddressShares, addressBlock } from '../../plugins/server-defaults/address-shares.ts'

test('IPv4 stands for itself, also mapped; IPv6 for its /64', () => {
  for (const [address, block] of [
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:DB8:1:2::9', '2001:db8:1:2::/64'],
    ['2001:db8::9', '2001:db8:0:0::/64'],
    ['2001:db8::1:2:3:4:5', '2001:db8:0:1::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['::', '0:0:0:0::/64'],
    ['1::', '1:0:0:0::/64']
  ] as const) assert.equal(addressBlock(address), block, address)
  assert.notEqual(addressBlock('2001:db8:1:2::1'), addressBlock('2001:db8:1:3::1'))
})

test('the limit is taken and the next refused; a place given back can be taken, and nothing is left over', () => {
  const shares = new AddressShares(2)
  const [first, second, third, other] = [shares.take('a'), shares.take('a'), shares.take('a'), shares.take('b')]
  assert.deepEqual([first?.count, second, third, other?.count], [2, first, undefined, 1])
  shares.give(first!)
  assert.equal(shares.take('a'), first)
  for (const share of [first, second, other]) shares.give(share!)
  assert.equal(shares.size, 0)
})
