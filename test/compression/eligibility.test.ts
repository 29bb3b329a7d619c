import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isNegotiable, PARTIAL, varyByEncoding } from '../../plugins/compression/eligibility.ts'

function encodable (status: number, fields: Record<string, string | string[]>): boolean {
  return isNegotiable(status, fields, type => !type.startsWith('image/')) && status !== PARTIAL
}

test('a reply with a compressible type is encodable, whatever its status', () => {
  for (const status of [200, 201, 400, 404, 500]) assert.equal(encodable(status, { 'content-type': 'text/html' }), true)
  assert.equal(encodable(200, {}), true, 'a stream without a type')
  assert.equal(encodable(200, { 'content-type': 'text/html', 'content-encoding': 'identity' }), true)
})

test('what describes the plain bytes, or forbids it, keeps a reply plain', () => {
  for (const status of [101, 204, 206, 304]) assert.equal(encodable(status, { 'content-type': 'text/html' }), false, `${status}`)
  const table: Array<Record<string, string | string[]>> = [
    { 'content-type': 'image/png' },
    { 'content-type': 'text/event-stream; charset=utf-8' },
    { 'content-encoding': 'br' },
    { 'cache-control': 'no-transform' },
    { 'cache-control': 'public, NO-TRANSFORM' },
    { 'cache-control': ['public', 'no-transform'] },
    { 'content-range': 'bytes 0-1/2' },
    { 'content-digest': 'sha-256=:a:' },
    { 'repr-digest': 'sha-256=:a:' },
    { digest: 'sha-256=a' }
  ]
  for (const fields of table) assert.equal(encodable(200, { 'content-type': 'text/html', ...fields }), false, JSON.stringify(fields))
})

test('Vary gains Accept-Encoding once', () => {
  const table: Array<[string | string[] | undefined, string]> = [
    [undefined, 'accept-encoding'],
    ['', 'accept-encoding'],
    ['Origin', 'Origin, accept-encoding'],
    [['Origin', 'Cookie'], 'Origin, Cookie, accept-encoding'],
    ['accept-encoding', 'accept-encoding'],
    ['Origin,Accept-Encoding', 'Origin,Accept-Encoding'],
    ['X-Accept-Encoding', 'X-Accept-Encoding, accept-encoding'],
    ['*', '*']
  ]
  for (const [vary, field] of table) assert.equal(varyByEncoding(vary), field, String(vary))
})
