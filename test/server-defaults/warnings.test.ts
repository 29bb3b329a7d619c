import assert from 'node:assert/strict'
import { test } from 'node:test'
import { unsafeSettings, type Facts } from '../../plugins/server-defaults/warnings.ts'

const safe: Facts = { trustProxy: '10.0.0.0/8', keepAliveTimeout: 72_000, lbIdleTimeout: 60_000, return503OnClosing: false, nodeVersion: 'v24.1.0', today: '2027-01-01' }

test('a safe server gets no warning', () => {
  assert.deepEqual(unsafeSettings(safe), [])
})

test('a Node past its end of life is named from the day after', () => {
  assert.deepEqual(unsafeSettings({ ...safe, nodeVersion: 'v20.20.2', today: '2026-04-30' }), [])
  assert.deepEqual(unsafeSettings({ ...safe, nodeVersion: 'v20.20.2', today: '2026-05-01' }), ['Node 20 has had no security fixes since 2026-04-30.'])
})

test('a keep-alive must outlast the balancer by more than nothing', () => {
  assert.equal(unsafeSettings({ ...safe, keepAliveTimeout: 60_000 }).length, 1)
  assert.equal(unsafeSettings({ ...safe, keepAliveTimeout: 60_001 }).length, 0)
})
