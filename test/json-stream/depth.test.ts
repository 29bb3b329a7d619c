import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { tooDeepAt, tooDeepByLoop, tooDeepIn } from '../../plugins/json-stream/depth.ts'
import { vectors } from '../../plugins/json-stream/structure-simd.ts'
import { runs } from './json-suite.ts'

/** Characters of two bytes whose low or high ones are those of brackets, braces, quotes and backslashes, a mark, halves of surrogates. */
const DECOYS = [...'ŝśżŽĢŜ孛筻紽≝崢∢\u5b00\u7d00\u2200\u5c00\ufeff\u8022\ufd5d\u80ff\uff5b', '\ud83d', '\udc5b', 'é', 'ÿ', '\0']

function depthOf (value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  return 1 + Math.max(0, ...Object.values(value).map(depthOf))
}

function everyWay (text: string, maxDepth: number): number {
  const found = tooDeepIn(text, maxDepth)
  assert.equal(tooDeepByLoop(at => text.charCodeAt(at), 0, text.length, maxDepth), found, JSON.stringify(text.slice(0, 300)))
  const bytes = Buffer.from(`}]"${text}[["`)
  const inBytes = tooDeepAt(bytes, 3, bytes.length - 3, maxDepth)
  assert.equal(inBytes === -1 ? -1 : inBytes - 3, found === -1 ? -1 : Buffer.byteLength(text.substring(0, found)))
  return found
}

test('the depth is that of the value that JSON.parse builds, whatever its strings hold', () => {
  const strings = fc.array(fc.constantFrom('[', '{', ']', '}', '"', '\\', ',', 'a', ...DECOYS), { maxLength: 20 }).map(parts => parts.join(''))
  const { value } = fc.letrec<{ value: unknown }>(tie => ({
    value: fc.oneof({ depthSize: 'medium', maxDepth: 8 }, strings, fc.double(), fc.array(tie('value'), { maxLength: 4 }), fc.dictionary(strings, tie('value'), { maxKeys: 3, noNullPrototype: true }))
  }))
  fc.assert(fc.property(value, fc.nat(400), fc.integer({ min: 1, max: 5 }), (value, pad, maxDepth) => {
    const text = JSON.stringify({ pad: '['.repeat(pad), value })
    assert.equal(everyWay(text, maxDepth) !== -1, depthOf(JSON.parse(text)) > maxDepth, text)
  }), runs(4000))
})

test('it is counted on over the end of the window, wherever that falls', () => {
  const size = vectors!.window.length
  for (const [pad, length] of [['x', size], ['é', size], ['ś', size / 2]] as const) {
    for (let before = length - 24; before <= length + 1; before++) {
      const head = `["${pad.repeat(before - 12)}\\\\\\"[[[[",`
      assert.equal(tooDeepIn(`${head}[[1]]]`, 3), -1)
      assert.equal(tooDeepIn(`${head}[[[[1]]]]]`, 3), head.length + 2)
    }
  }
})

test('depth is found at its bracket, not in strings', () => {
  assert.equal(tooDeepAt(Buffer.from('[[{"a":1}]]'), 0, 11, 2), 2)
  assert.equal(tooDeepAt(Buffer.from('[["[[[["]]'), 0, 10, 2), -1)
  assert.equal(tooDeepAt(Buffer.from('xx[[]][[[]]]'), 2, 12, 2), 8)
  const filler = `{"id":1,"text":"${'x'.repeat(200)}"}\n`.repeat(50)
  assert.equal(tooDeepAt(Buffer.from(filler + '[[[1]]]'), 0, filler.length + 7, 2), filler.length + 2)
  // A limit that no 32-bit number holds.
  for (const limit of [2 ** 31, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
    assert.equal(tooDeepAt(Buffer.from(filler), 0, filler.length, limit), -1)
    assert.equal(tooDeepIn(filler, limit), -1)
  }
})
