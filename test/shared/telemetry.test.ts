import assert from 'node:assert/strict'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { test } from 'node:test'
import { QueueFull, UnderPressure } from '../../plugins/shared/errors.ts'
import { prepareRefusal } from '../../plugins/shared/refusal.ts'
import { RefusalLog } from '../../plugins/shared/telemetry.ts'
import { FakeClock } from '../support/fake-clock.ts'

function setUp () {
  const lines: Array<[any, string]> = []
  const clock = new FakeClock()
  const log = { warn: (fields: object, message: string) => { lines.push([fields, message]) } }
  return { lines, clock, refusals: new RefusalLog(log as any, clock) }
}
const full = prepareRefusal('concurrency', 'queue_full', QueueFull)

test('a burst of refusals is one line, and a sum 5 s later', () => {
  const { lines, clock, refusals } = setUp()
  for (let i = 0; i < 100; i++) refusals.record(full, 'GET /', false)
  assert.equal(lines.length, 1)
  clock.advance(5_000)
  refusals.record(full, 'GET /', false)
  assert.equal(lines.length, 2)
  assert.equal(lines[1]![0].sinceLastLine, 100)
})

test('each reason has lines of its own, and a dry run says so', () => {
  const { lines, refusals } = setUp()
  refusals.record(full, 'GET /', false)
  refusals.record(prepareRefusal('pressure', 'heap', UnderPressure), 'GET /', true)
  assert.match(lines[0]![1], /^refused: /)
  assert.match(lines[1]![1], /^would refuse: /)
})

test('every refusal reaches the diagnostics channel while somebody listens', () => {
  const { refusals } = setUp()
  const seen: unknown[] = []
  const listener = (message: unknown) => { seen.push(message) }
  subscribe('fastify-surge:refused', listener)
  for (let i = 0; i < 3; i++) refusals.record(full, 'GET /x', false)
  unsubscribe('fastify-surge:refused', listener)
  refusals.record(full, 'GET /x', false)
  assert.equal(seen.length, 3)
  assert.deepEqual(seen[0], { by: 'concurrency', reason: 'queue_full', code: 'FST_SURGE_QUEUE_FULL', route: 'GET /x', dryRun: false })
})

test('refusals are counted by who refused and why, dry runs apart', () => {
  const { refusals } = setUp()
  for (let i = 0; i < 3; i++) refusals.record(full, 'GET /', false)
  refusals.record(full, 'GET /', true)
  const read: unknown[] = []
  refusals.read((value, labels) => { read.push([value, labels]) })
  assert.deepEqual(read, [
    [3, { by: 'concurrency', reason: 'queue_full', dry_run: 'false' }],
    [1, { by: 'concurrency', reason: 'queue_full', dry_run: 'true' }]
  ])
})
