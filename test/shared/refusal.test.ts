import assert from 'node:assert/strict'
import { test } from 'node:test'
import { QueueFull } from '../../plugins/shared/errors.ts'
import { jitteredRetryAfter, prepareRefusal, problemJson } from '../../plugins/shared/refusal.ts'
import { leavesTooMuchUnread } from '../../plugins/shared/unread-body.ts'

test('a prepared refusal has the body that Fastify gives an error', () => {
  const refusal = prepareRefusal('concurrency', 'queue_full', QueueFull, 1)
  assert.equal(refusal.statusCode, 503)
  assert.deepEqual(JSON.parse(refusal.body), { statusCode: 503, code: 'FST_SURGE_QUEUE_FULL', error: 'Service Unavailable', message: refusal.message })
})

test('Retry-After is an integer, never below the wait, and spread', () => {
  for (const wait of [0, 0.2, 1, 4.1, 60]) {
    const all = [0, 0.25, 0.5, 0.75, 0.999].map(random => jitteredRetryAfter(wait, () => random))
    assert.ok(all.every(seconds => Number.isInteger(seconds) && seconds >= Math.max(1, wait)), `${wait}: ${all}`)
    assert.ok(new Set(all).size > 1, `${wait}: always ${all[0]}`)
    assert.ok(Math.max(...all) <= Math.ceil(wait) * 1.5 + 3)
  }
})

test('a body is too much to leave unread when it is chunked or above 64 KB, and not when it is in already', () => {
  const unread = (complete: boolean, headers: object) => leavesTooMuchUnread({ complete, headers } as any)
  assert.equal(unread(false, {}), false)
  assert.equal(unread(false, { 'content-length': '65536' }), false)
  assert.equal(unread(false, { 'content-length': '65537' }), true)
  assert.equal(unread(false, { 'transfer-encoding': 'chunked' }), true)
  assert.equal(unread(true, { 'transfer-encoding': 'chunked' }), false)
})

test('problemJson is RFC 9457', () => {
  const headers: Record<string, string> = {}
  const body = problemJson({} as any, { header: (name: string, value: string) => { headers[name] = value } } as any, prepareRefusal('concurrency', 'queue_full', QueueFull))
  assert.equal(headers['content-type'], 'application/problem+json')
  const { type, title, status, detail, code } = JSON.parse(body)
  assert.deepEqual([type, title, status, code], ['about:blank', 'Service Unavailable', 503, 'FST_SURGE_QUEUE_FULL'])
  assert.ok(detail.length > 10)
})
