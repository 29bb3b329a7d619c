// The process's monotonic clock in a test's hand, for doors: cores are given a FakeClock.
import type { TestContext } from 'node:test'

export function holdMonotonicClock (t: TestContext): { advance: (ms: number) => void } {
  let now = performance.now()
  t.mock.method(performance, 'now', () => now)
  return { advance (ms) { now += ms } }
}
