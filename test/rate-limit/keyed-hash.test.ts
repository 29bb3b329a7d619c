import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KeyedHash } from '../../plugins/rate-limit/keyed-hash.ts'

function digest (hash: KeyedHash, text: string): string {
  hash.digest(text)
  const bytes = Buffer.alloc(8)
  bytes.writeInt32LE(hash.low, 0)
  bytes.writeInt32LE(hash.high, 4)
  return bytes.toString('hex')
}

test('it is HalfSipHash-2-4 with 64 bits of output: the vectors of its authors, for key 00…07 and the bytes 00 01 02 …', () => {
  const hash = new KeyedHash(new Uint32Array([0x03020100, 0x07060504]))
  const vectors = ['218d1f59b9b83cc8', '064f39ef7c50eb57', 'd5e78a175be52ea1', 'ce3e91358aa2bc25']
  for (const [units, expected] of vectors.entries()) {
    const text = String.fromCharCode(...Array.from({ length: units }, (_, i) => (2 * i + 1) << 8 | 2 * i))
    assert.equal(digest(hash, text), expected)
  }
})

test('another key, another digest; any difference in the text too', () => {
  const one = new KeyedHash(new Uint32Array([1, 2]))
  const other = new KeyedHash(new Uint32Array([1, 3]))
  const texts = ['', 'a', 'b', 'ab', 'ba', 'a\0', '127.0.0.1', '127.0.0.10', 'ä', '中', '\uD800']
  const digests = new Set([one, other].flatMap(hash => texts.map(text => digest(hash, text))))
  assert.equal(digests.size, 2 * texts.length)
})
