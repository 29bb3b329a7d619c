// One connection under the limits of time: its TLS handshake, the body that comes in, the reply that goes out. What
// Node limits by itself (the header, the pause between requests) is not repeated here.
import { BodyRate, type MinBodyRate } from './body-rate.ts'
import type { Swept } from './sweep.ts'
import { WriteStall } from './write-stall.ts'

export interface ConnectionLimits {
  minBodyRate: MinBodyRate | false
  /** Milliseconds without a move while a reply waits. */
  writeStallTimeout: number | false
  /** Milliseconds for a TLS handshake. */
  handshakeTimeout: number
}

export type Cut = 'handshake' | 'slow_body' | 'write_stall'

/** What a connection looks like from here. */
export interface Wire {
  /** Bytes that came in, decrypted. */
  readonly bytesRead: number
  /** Bytes that the kernel took; only grows. */
  readonly flushed: number
  /** True while bytes wait for the kernel. */
  readonly waiting: boolean
  /** True while the server reads. */
  readonly reading: boolean
  /** True once it was taken over by an upgrade: then it is the app's. */
  readonly upgraded: boolean
  /** Ends it, and is not asked again: in a dry run it is let off. */
  cut: (why: Cut) => void
}

/** A request whose body is not in yet. */
export interface Incoming { readonly complete: boolean, readonly destroyed: boolean }

export class Connection implements Swept {
  readonly #wire: Wire
  readonly #limits: ConnectionLimits
  readonly #opened: number
  readonly #stall: WriteStall | undefined
  #shaking: boolean
  #incoming: Incoming | undefined
  #rate: BodyRate | undefined
  /** Left alone from now on: taken over by the app, cut, or let off in a dry run. */
  over = false

  constructor (wire: Wire, limits: ConnectionLimits, now: number, secure: boolean) {
    this.#wire = wire
    this.#limits = limits
    this.#opened = now
    this.#shaking = secure
    this.#stall = limits.writeStallTimeout === false ? undefined : new WriteStall(limits.writeStallTimeout)
  }

  /** The TLS handshake is done. */
  secured (): void {
    this.#shaking = false
  }

  /** A body is on its way, of which `already` bytes are here. One at a time: HTTP/1 has no other. */
  expectBody (incoming: Incoming, already: number, now: number): void {
    const { minBodyRate } = this.#limits
    if (minBodyRate === false) return
    this.#incoming = incoming
    this.#rate = new BodyRate(minBodyRate, now, this.#wire.bytesRead - already)
  }

  look (now: number): void {
    if (this.over) return
    const wire = this.#wire
    if (wire.upgraded) this.over = true
    else if (this.#shaking && now - this.#opened >= this.#limits.handshakeTimeout) this.#cut('handshake')
    else if (this.#stall?.look(now, wire.waiting, wire.flushed)) this.#cut('write_stall')
    else if (this.#incoming !== undefined) this.#lookAtBody(now)
  }

  #lookAtBody (now: number): void {
    const { bytesRead, reading } = this.#wire
    if (this.#incoming!.complete || this.#incoming!.destroyed) this.#incoming = this.#rate = undefined
    else if (this.#rate!.look(now, bytesRead, reading)) this.#cut('slow_body')
  }

  #cut (why: Cut): void {
    this.#wire.cut(why)
    this.over = true
  }
}
