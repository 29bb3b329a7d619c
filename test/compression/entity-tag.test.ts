import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { encodedTag, findTag, variants, weaken } from '../../plugins/compression/entity-tag.ts'

test('a strong tag is never the tag of an encoded representation as well', () => {
  for (const mode of ['weak-when-encoded', 'per-encoding', 'weak', false] as const) {
    for (const tag of ['"v1"', '""', 'v1']) {
      assert.notEqual(encodedTag(tag, 'gzip', mode), tag, `${tag} ${mode}`)
    }
  }
  assert.equal(encodedTag('"v1"', 'gzip', 'weak-when-encoded'), 'W/"v1"')
  assert.equal(encodedTag('"v1"', 'gzip', 'per-encoding'), '"v1-gzip"')
  assert.equal(encodedTag('"v1"', 'gzip', false), 'W/"v1"')
  assert.equal(encodedTag('v1', 'gzip', 'per-encoding'), 'W/v1', 'a tag without quotes has no place for a suffix')
})

test('a weak tag stays as it is under every coding', () => {
  for (const mode of ['weak-when-encoded', 'per-encoding', 'weak', false] as const) assert.equal(encodedTag('W/"v1"', 'br', mode), 'W/"v1"')
  assert.equal(weaken('W/"v1"'), 'W/"v1"')
})

test('variants lists the plain tag first and leaves identity out', () => {
  assert.deepEqual(variants('"v1"', ['br', 'identity', 'gzip'], 'per-encoding'), ['"v1"', '"v1-br"', '"v1-gzip"'])
})

// RFC 9110 section 8.8.3.2, the table of the two comparisons.
test('strong and weak comparison', () => {
  const table: Array<[string, string, boolean, boolean]> = [
    ['W/"1"', 'W/"1"', false, true],
    ['W/"1"', 'W/"2"', false, false],
    ['W/"1"', '"1"', false, true],
    ['"1"', '"1"', true, true],
    ['"1"', 'W/"1"', false, true]
  ]
  for (const [list, tag, strong, weak] of table) {
    assert.equal(findTag(list, tag, true) !== undefined, strong, `strong ${list} ${tag}`)
    assert.equal(findTag(list, tag, false) !== undefined, weak, `weak ${list} ${tag}`)
  }
})

test('a list is read member by member, commas inside quotes included', () => {
  assert.equal(findTag('"a", W/"b" ,"c"', '"b"', false), 'W/"b"')
  assert.equal(findTag('"a", W/"b" ,"c"', '"b"', true), undefined)
  assert.equal(findTag('"a,b"', '"b"', false), undefined)
  assert.equal(findTag('"a,b", "c"', '"a,b"', false), '"a,b"')
  assert.equal(findTag(',, "c"', '"c"', true), '"c"')
  assert.equal(findTag('a, b', 'b', false), 'b')
  assert.equal(findTag('"ab"', '"b"', false), undefined)
  assert.equal(findTag('', '"b"', false), undefined)
  assert.equal(findTag('"open', '"open"', false), undefined)
})

test('whatever list stands in the field, its members are found and others are not', () => {
  const opaque = fc.stringMatching(/^[!#-~]{0,12}$/)
  fc.assert(fc.property(fc.array(fc.tuple(fc.boolean(), opaque), { minLength: 1, maxLength: 6 }), opaque, fc.constantFrom(',', ', ', ' ,\t'), (members, other, comma) => {
    const list = members.map(([weak, tag]) => `${weak ? 'W/' : ''}"${tag}"`).join(comma)
    for (const [, tag] of members) assert.notEqual(findTag(list, `"${tag}"`, false), undefined)
    assert.equal(findTag(list, `"${other}"`, false) !== undefined, members.some(([, tag]) => tag === other))
    assert.equal(findTag(list, `"${other}"`, true) !== undefined, members.some(([weak, tag]) => !weak && tag === other))
  }))
})
