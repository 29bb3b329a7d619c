import assert from 'node:assert/strict'
import { test } from 'node:test'
import { evaluate, httpDate, isConditional, type Verdict } from '../../plugins/compression/preconditions.ts'

const EARLIER = 'Sun, 06 Nov 1994 08:49:36 GMT'
const THEN = 'Sun, 06 Nov 1994 08:49:37 GMT'
const LATER = 'Sun, 06 Nov 1994 08:49:38 GMT'

const tagged = { etag: 'W/"v1"', current: () => ['"v1"', 'W/"v1"'], lastModified: THEN }
const untagged = { etag: undefined, current: () => [], lastModified: undefined }

// RFC 9110 section 13.2.2: If-Match before If-Unmodified-Since before If-None-Match before If-Modified-Since.
test('each precondition, and which one goes first', () => {
  const table: Array<[Record<string, string>, typeof tagged | typeof untagged, Verdict]> = [
    [{}, tagged, 'proceed'],
    [{ 'if-none-match': '"v1"' }, tagged, 'not-modified'],
    [{ 'if-none-match': 'W/"v1"' }, tagged, 'not-modified'],
    [{ 'if-none-match': '"v0", "v1"' }, tagged, 'not-modified'],
    [{ 'if-none-match': '"v0"' }, tagged, 'proceed'],
    [{ 'if-none-match': '*' }, tagged, 'not-modified'],
    [{ 'if-none-match': ' * ' }, untagged, 'not-modified'],
    [{ 'if-none-match': '"v1"' }, untagged, 'proceed'],
    [{ 'if-modified-since': THEN }, tagged, 'not-modified'],
    [{ 'if-modified-since': LATER }, tagged, 'not-modified'],
    [{ 'if-modified-since': EARLIER }, tagged, 'proceed'],
    [{ 'if-modified-since': 'yesterday' }, tagged, 'proceed'],
    [{ 'if-modified-since': THEN }, untagged, 'proceed'],
    [{ 'if-none-match': '"v0"', 'if-modified-since': THEN }, tagged, 'proceed'],
    [{ 'if-match': '"v1"' }, tagged, 'proceed'],
    [{ 'if-match': '"v0"' }, tagged, 'failed'],
    [{ 'if-match': 'W/"v1"' }, tagged, 'failed'],
    [{ 'if-match': '*' }, tagged, 'proceed'],
    [{ 'if-match': '"v0"' }, untagged, 'proceed'],
    [{ 'if-match': '"v1"', 'if-none-match': '"v1"' }, tagged, 'not-modified'],
    [{ 'if-match': '"v0"', 'if-none-match': '"v1"' }, tagged, 'failed'],
    [{ 'if-unmodified-since': THEN }, tagged, 'proceed'],
    [{ 'if-unmodified-since': EARLIER }, tagged, 'failed'],
    [{ 'if-unmodified-since': 'never' }, tagged, 'proceed'],
    [{ 'if-unmodified-since': EARLIER }, untagged, 'proceed'],
    [{ 'if-match': '"v1"', 'if-unmodified-since': EARLIER }, tagged, 'proceed']
  ]
  for (const [headers, validators, verdict] of table) {
    assert.equal(evaluate(headers, validators), verdict, JSON.stringify(headers))
    assert.equal(isConditional(headers), Object.keys(headers).length > 0)
  }
})

// RFC 9110 section 5.6.7.
test('the three forms of a date, and nothing else', () => {
  const time = Date.UTC(1994, 10, 6, 8, 49, 37)
  assert.equal(httpDate('Sun, 06 Nov 1994 08:49:37 GMT'), time)
  assert.equal(httpDate('Sunday, 06-Nov-94 08:49:37 GMT'), time)
  assert.equal(httpDate('Sun Nov  6 08:49:37 1994'), time)
  for (const none of [undefined, '', '0', '2024-01-01T00:00:00Z', '1994', 'Sun, 06 Nov 1994 08:49:37', 'Sun, 99 Nov 1994 08:49:37 GMT', ['a']]) {
    assert.equal(httpDate(none), undefined, String(none))
  }
})
