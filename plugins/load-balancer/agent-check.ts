// What HAProxy's agent-check is told (section 5.2 of its configuration manual): a line of words each time it asks.
//
//   drain                       no new requests, those under way go on
//   down                        started, but not ready
//   [ready] up 80% [maxconn:10]
//
// The weight is 100 % of the configured one for an idle server and 50 % for a busy one. Load follows weight, so a weight that
// follows load has a loop gain: for weight f(u) of utilization u it is u × |f′(u)| / f(u), here u / (2 − u), which is below 1
// for every u < 1, so that weights settle. With 1 − u it would be u / (1 − u), and two servers at 60 % would pass their load to and fro, more each time.
//
// `ready` takes back an earlier `drain`, and so that of the process that had the port before. As it would take back an
// operator's `set server … state maint` as well, it is said in the first minute of each balancer's asking only.

export interface AgentState {
  draining: boolean
  ready: boolean
  /** 0 to 1. */
  utilization: number
  /** Requests that one balancer may send at a time; undefined where that is not for it to bound. */
  maxconn: number | undefined
}

const WELCOME_MS = 60_000
/** Addresses that are remembered; whoever comes back behind that many others is welcomed again. */
const MAX_PEERS = 1_000

export class AgentCheck {
  readonly #since = new Map<string, number>()
  #bounded = false

  /** @param peer the balancer's address; @param now the clock's milliseconds */
  line ({ draining, ready, utilization, maxconn }: AgentState, peer: string, now: number): string {
    const words = draining ? ['drain'] : ready ? this.#up(utilization, maxconn, peer, now) : ['down']
    return words.join(' ') + '\n'
  }

  #up (utilization: number, maxconn: number | undefined, peer: string, now: number): string[] {
    const words = ['up', `${Math.round(100 - 50 * Math.min(1, utilization))}%`]
    if (this.#isNew(peer, now)) words.unshift('ready')
    // A balancer keeps a number until it is told another one; 0 is none.
    this.#bounded ||= maxconn !== undefined
    if (this.#bounded) words.push(`maxconn:${maxconn ?? 0}`)
    return words
  }

  #isNew (peer: string, now: number): boolean {
    let since = this.#since.get(peer)
    if (since === undefined) {
      if (this.#since.size === MAX_PEERS) this.#since.clear()
      this.#since.set(peer, since = now)
    }
    return now - since < WELCOME_MS
  }
}

interface GateState { limit: number, adaptive: boolean }

/**
 * The part of one of `lbCount` balancers in what all gates let run. None where a limit finds itself: it does so by those that
 * wait in its own room, and would stay where it is if they waited at the balancer.
 */
export function maxconnOf (gates: readonly GateState[], lbCount: number): number | undefined {
  if (gates.length === 0 || gates.some(({ adaptive }) => adaptive)) return undefined
  return Math.max(1, Math.floor(gates.reduce((sum, { limit }) => sum + limit, 0) / lbCount))
}
