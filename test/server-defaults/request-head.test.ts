import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DUPLICATE_HOST, HAS_BODY, inspectHead, TOO_MANY_FIELDS } from '../../plugins/server-defaults/request-head.ts'

test('the limit of fields passes, one more does not; pseudo fields of HTTP/2 do not count', () => {
  const fields = (count: number) => Array.from({ length: count }, (_, i) => [`x-${i}`, 'v']).flat()
  assert.equal(inspectHead(fields(100), 100), 0)
  assert.equal(inspectHead(fields(101), 100), TOO_MANY_FIELDS)
  assert.equal(inspectHead([':method', 'GET', ':path', '/', ...fields(100)], 100), 0)
  assert.equal(inspectHead(fields(5_000), Infinity), 0)
})

test('a second Host is seen in any case', () => {
  assert.equal(inspectHead(['Host', 'a', 'Most', 'b'], 100), 0)
  assert.equal(inspectHead(['Host', 'a', 'HOST', 'a'], 100), DUPLICATE_HOST)
})

test('a body is announced by Content-Length or Transfer-Encoding', () => {
  assert.equal(inspectHead(['content-LENGTH', '3'], 100), HAS_BODY)
  assert.equal(inspectHead(['Transfer-Encoding', 'chunked'], 100), HAS_BODY)
  assert.equal(inspectHead(['accept-encoding', 'gzip', 'content-strange', 'x'], 100), 0)
})
