import assert from 'node:assert/strict'
import { test } from 'node:test'
import { routeHeaders } from '../../plugins/rate-limit/quota-headers.ts'

test('all headers are sent unless switched off, admitted and refused apart', () => {
  const all = { limit: 'x-ratelimit-limit', remaining: 'x-ratelimit-remaining', reset: 'x-ratelimit-reset' }
  assert.deepEqual(routeHeaders({ enableDraftSpec: false, addHeaders: {}, addHeadersOnExceeding: {} }), { admitted: all, refused: all, retryAfter: true })
  assert.deepEqual(
    routeHeaders({ enableDraftSpec: false, addHeaders: { 'retry-after': false, 'x-ratelimit-limit': false }, addHeadersOnExceeding: { 'x-ratelimit-reset': false } }),
    { admitted: { ...all, reset: undefined }, refused: { ...all, limit: undefined }, retryAfter: false }
  )
})

test('enableDraftSpec takes the x- away, also from the switches', () => {
  const { admitted } = routeHeaders({ enableDraftSpec: true, addHeaders: {}, addHeadersOnExceeding: { 'ratelimit-remaining': false, 'x-ratelimit-limit': false } })
  assert.deepEqual(admitted, { limit: 'ratelimit-limit', remaining: undefined, reset: 'ratelimit-reset' })
})
