// A claim of work that is no request, such as a job or a call to a fragile service: `run()` waits for a slot,
// holds it until the task has settled, and lets a signal end the wait.
import { Draining, Evicted, KeyShareTaken, QueueFull, QueueTimeout, UnderPressure } from '../errors.ts'
import type { Gate } from './gate.ts'
import { Waiter, type Priority, type ShedReason } from './waiter.ts'

/** The 503 for each way to be shed. */
export const shedErrors = {
  queue_full: QueueFull,
  queue_timeout: QueueTimeout,
  predicted_wait: QueueTimeout,
  evicted: Evicted,
  key_share: KeyShareTaken,
  loop_busy: UnderPressure,
  draining: Draining
} satisfies Record<ShedReason, unknown>

class TaskWaiter extends Waiter {
  readonly patience = Infinity
  readonly #resolve: () => void
  readonly #reject: (error: Error) => void

  constructor (priority: Priority, resolve: () => void, reject: (error: Error) => void) {
    super(priority)
    this.#resolve = resolve
    this.#reject = reject
  }

  override admitted (): void {
    this.#resolve()
  }

  override shed (reason: ShedReason): void {
    this.#reject(new shedErrors[reason]())
  }
}

/**
 * Runs `task` inside `gate`. An abort while it waits rejects with the signal's reason; an abort while it runs is the
 * task's to heed, since its slot is taken until it has settled.
 * @throws FST_SURGE_QUEUE_FULL, FST_SURGE_QUEUE_TIMEOUT, FST_SURGE_EVICTED, FST_SURGE_DRAINING (503)
 */
export async function runInGate<T> (gate: Gate, task: (signal?: AbortSignal) => T | Promise<T>, priority: Priority, signal?: AbortSignal): Promise<T> {
  signal?.throwIfAborted()
  let claim: TaskWaiter
  let giveUp = noop
  // A failure is quick, or slow, for reasons of its own.
  let ending: 'served' | 'untelling' = 'untelling'
  try {
    await new Promise<void>((resolve, reject) => {
      claim = new TaskWaiter(priority, resolve, reject)
      giveUp = function giveUp () {
        if (claim.state !== 'WAIT') return
        gate.leave(claim)
        reject(signal!.reason)
      }
      const outcome = gate.enter(claim)
      if (outcome === 'RUN') resolve()
      else if (outcome === 'WAIT') signal?.addEventListener('abort', giveUp)
      else claim.shed(outcome)
    })
    const result = await task(signal)
    ending = 'served'
    return result
  } finally {
    signal?.removeEventListener('abort', giveUp)
    gate.leave(claim!, ending)
  }
}

function noop () {}
