import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isLocal, isLoopback } from '../../plugins/profiling/local.ts'

test('loopback addresses', () => {
  for (const address of ['127.0.0.1', '127.8.9.1', '::1', '::ffff:127.0.0.1']) assert.ok(isLoopback(address), address)
  for (const address of [undefined, '', '10.0.0.1', '::', '127.evil.test', '::ffff:10.0.0.1', '1270.0.0.1']) assert.ok(!isLoopback(address), address)
})

test('a local request names this host and came through no proxy', () => {
  for (const host of ['localhost:3000', 'LOCALHOST', '127.0.0.1:80', '[::1]:3000']) assert.ok(isLocal('127.0.0.1', { host }), host)
  for (const host of [undefined, 'evil.test', 'localhost.evil.test', '[::2]:1']) assert.ok(!isLocal('127.0.0.1', { host }), host)
  assert.ok(!isLocal('10.0.0.1', { host: 'localhost' }))
  for (const name of ['via', 'forwarded', 'x-real-ip']) assert.ok(!isLocal('127.0.0.1', { host: 'localhost', [name]: 'x' }), name)
})
