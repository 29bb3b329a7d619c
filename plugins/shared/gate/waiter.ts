// A waiter is one claim on a gate, from its entrance to its one ending. Its state says who owns its slot.
//
//   NEW ─▶ RUN ─────────────▶ DONE        admitted, its slot given back
//    │      └─▶ ORPHAN ─────▶ DONE        the client left, the handler still works: the slot stays taken
//    ├──▶ WAIT ─▶ RUN | SHED | GONE       in the waiting room: admitted, refused, or its client left
//    └──▶ SHED                            refused at the door
import { Link } from '../line.ts'

export type WaiterState = 'NEW' | 'WAIT' | 'RUN' | 'ORPHAN' | 'DONE' | 'SHED' | 'GONE'

/** Why a gate refuses. */
export const SHED_REASONS = ['queue_full', 'queue_timeout', 'predicted_wait', 'evicted', 'key_share', 'loop_busy', 'draining'] as const
export type ShedReason = typeof SHED_REASONS[number]

/** 0 is critical, 2 is first to go. */
export type Priority = 0 | 1 | 2

export abstract class Waiter extends Link {
  state: WaiterState = 'NEW'
  priority: Priority
  /** Whose share it counts to, where the gate has shares. */
  key: string | undefined = undefined
  /** A small integer; claims of one kind, such as a route's, take about as long. */
  kind = 0
  /** When it was admitted, in the clock's milliseconds. */
  started = 0
  /** How many ran then, itself included. */
  began = 0
  /** Milliseconds that its work took, below 0 until it is done. Its slot may be taken for longer: a reply that a slow client reads is not a slow service. */
  service = -1
  /** Of those, how many the event loop may have taken to hear of its end. */
  lag = 0

  constructor (priority: Priority) {
    super()
    // It may come from a request, by way of the app's function: whatever is none counts as normal, never as a crash.
    this.priority = priority === 0 || priority === 2 ? priority : 1
  }

  /** Milliseconds that it is of use to wait; asked of those who are not admitted at once. */
  abstract readonly patience: number

  /** Called in the tick in which its slot became free; only for one that had to wait. */
  abstract admitted (): void
  /** Called once when it is refused after it had to wait. */
  abstract shed (reason: ShedReason): void
}
