// One HTTP/2 session under limits: Node has no time limit for its headers, bodies or idle times, and lets a client open
// and reset streams without end (rapid reset, CVE-2023-44487).
import { Link } from '../shared/line.ts'
import { BodyRate, type MinBodyRate } from './body-rate.ts'
import type { Swept } from './sweep.ts'
import { WriteStall } from './write-stall.ts'

export interface SessionLimits {
  minBodyRate: MinBodyRate | false
  writeStallTimeout: number | false
  /** Milliseconds for the first stream to open. */
  headersTimeout: number
  /** Milliseconds without a stream after that. */
  keepAliveTimeout: number
  /** Streams that a client may reset at once, and a second. */
  streamResetBurst: number
  streamResetRate: number
}

/** Answered pings are writes as well; fewer bytes than this are no reading of a reply. */
const MOVE_BYTES = 4_096

export interface StreamWire {
  /** Body bytes that came in. */
  readonly bytesRead: number
  readonly reading: boolean
  /** True while its body is not in. */
  readonly incoming: boolean
  /** True while a part of its reply waits, for the socket or for the client's window. */
  readonly waiting: boolean
  /** True when its client has reset it and nobody has let go of it yet. */
  readonly abandoned: boolean
  drop: () => void
  /** Answers 408 if nothing was answered yet, and ends the stream. */
  refuse: () => void
}

export interface SessionWire {
  /** Bytes that the kernel took; only grows. */
  readonly flushed: number
  /** Says goodbye, and lets open streams finish. */
  close: () => void
  /** Ends it, and is not asked again: in a dry run it is let off. */
  cut: (why: 'write_stall' | 'stream_resets') => void
}

export class Session extends Link implements Swept {
  readonly #wire: SessionWire
  readonly #limits: SessionLimits
  readonly #stall: WriteStall | undefined
  /** The rate of its body, for a stream that has one. */
  readonly #streams = new Map<StreamWire, BodyRate | undefined>()
  /** Since when it has no stream. */
  #idle: number
  #quiet: number
  #resets: number
  #lastReset = 0
  over = false

  constructor (wire: SessionWire, limits: SessionLimits, now: number) {
    super()
    this.#wire = wire
    this.#limits = limits
    this.#stall = limits.writeStallTimeout === false ? undefined : new WriteStall(limits.writeStallTimeout, MOVE_BYTES)
    this.#idle = now
    this.#quiet = limits.headersTimeout
    this.#resets = limits.streamResetBurst
    this.#lastReset = now
  }

  open (stream: StreamWire, now: number): void {
    const { minBodyRate, keepAliveTimeout } = this.#limits
    this.#quiet = keepAliveTimeout
    this.#streams.set(stream, minBodyRate !== false && stream.incoming ? new BodyRate(minBodyRate, now, 0) : undefined)
  }

  closed (stream: StreamWire, now: number): void {
    this.#streams.delete(stream)
    this.#idle = now
  }

  /** The client took a request back before it was answered. */
  reset (now: number): void {
    const { streamResetBurst, streamResetRate } = this.#limits
    this.#resets = Math.min(streamResetBurst, this.#resets + (now - this.#lastReset) * streamResetRate / 1000) - 1
    this.#lastReset = now
    if (this.#resets < 0 && !this.over) this.#cut('stream_resets')
  }

  look (now: number): void {
    if (this.over) return
    if (this.#streams.size === 0) {
      if (now - this.#idle >= this.#quiet) this.#wire.close()
      return
    }
    let waiting = false
    for (const [stream, rate] of this.#streams) {
      if (stream.abandoned) {
        stream.drop()
        continue
      }
      waiting ||= stream.waiting
      if (rate === undefined) continue
      if (!stream.incoming) this.#streams.set(stream, undefined)
      else if (rate.look(now, stream.bytesRead, stream.reading)) {
        this.#streams.set(stream, undefined)
        stream.refuse()
      }
    }
    if (this.#stall?.look(now, waiting, this.#wire.flushed)) this.#cut('write_stall')
  }

  #cut (why: 'write_stall' | 'stream_resets'): void {
    this.over = true
    this.#wire.cut(why)
  }
}
