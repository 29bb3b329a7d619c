// What a decision does to its request: it goes on, at once or when a store has answered, or gets its refusal. The stage of
// the admission and the late hooks both end here.
import type { FastifyBaseLogger, FastifyReply } from 'fastify'
import { format } from '@lukeed/ms'
import { headersOf } from '../shared/fastify-internals.ts'
import { isPromise } from '../shared/promise.ts'
import { jitteredRetryAfter } from '../shared/refusal.ts'
import type { Ticket } from '../shared/ticket.ts'
import type { Claim, Verdict } from './counter.ts'
import { wholeSeconds, type Decision } from './gcra.ts'
import type { Limit } from './limits.ts'
import type { QuotaHeaders } from './quota-headers.ts'

/** A hook's callback. */
export type Done = (error?: any) => void

/**
 * Decides. True: the request may go on now. False: it was refused, or goes on (or fails) later, by `done` where a hook
 * asked for the decision, else by its ticket.
 */
export function judge (ticket: Ticket, limit: Limit, dryRun: boolean, done?: Done): boolean {
  try {
    const claim = limit.claims.of(ticket.request)
    // A hook is behind whatever may have held the request; the stage is where it has just arrived.
    if (!isPromise(claim)) return judgeClaim(ticket, limit, claim, dryRun, done, done === undefined ? ticket.arrival : undefined)
    claim
      .then(claim => conclude(ticket, judgeClaim(ticket, limit, claim, dryRun, done), done))
      .catch(error => fail(ticket, error, dryRun, done))
  } catch (error) {
    fail(ticket, error, dryRun, done)
  }
  return false
}

function judgeClaim (ticket: Ticket, limit: Limit, claim: Claim | undefined, dryRun: boolean, done: Done | undefined, at?: number): boolean {
  if (claim === undefined) return true
  const verdict = limit.counter.now(claim, at)
  if (verdict !== undefined) return settle(ticket, limit, claim, verdict, dryRun)
  limit.counter.later(claim, verdict => {
    let passes
    try {
      passes = settle(ticket, limit, claim, verdict, dryRun)
    } catch (error) {
      fail(ticket, error, dryRun, done)
      return
    }
    conclude(ticket, passes, done)
  })
  return false
}

/** True when the request may go on. Throws what the app's error handler is to answer. */
function settle (ticket: Ticket, { quota, headers, refusals, decisions }: Limit, claim: Claim, verdict: Verdict, dryRun: boolean): boolean {
  decisions.count(claim, verdict)
  if (ticket.closed || ticket.refused) return false
  const { request, reply } = ticket
  const { key } = claim
  if (verdict.outcome === 'uncounted') return true
  if (verdict.outcome === 'unavailable') return ticket.refuse(refusals.unavailable, dryRun)
  if (verdict.outcome === 'admitted') {
    if (dryRun) return true
    tell(reply, headers, verdict)
    quota.onExceeding?.(request, key)
    return true
  }
  const { outcome } = verdict
  const refusal = refusals.of(outcome, verdict.told.policy.name)
  if (dryRun) return ticket.refuse(refusal, dryRun)
  quota.onExceeded?.(request, key)
  if (outcome === 'banned') quota.onBanReach?.(request, key)
  tell(reply, headers, verdict)
  // Of a wait that is a nanosecond above a second two: it must never be too short.
  const seconds = Math.ceil(verdict.wait / 1000)
  if (quota.errorResponseBuilder !== undefined) {
    const error = quota.errorResponseBuilder(request, {
      statusCode: refusal.statusCode,
      ban: outcome === 'banned',
      max: verdict.told.policy.max,
      ttl: Math.ceil(verdict.wait),
      after: format(wholeSeconds(verdict.wait) * 1000, true)
    }) as object | undefined
    if (error) {
      reply.header('cache-control', 'no-store')
      if (headers.retryAfter) reply.header('retry-after', jitteredRetryAfter(seconds))
      ticket.count(refusal, dryRun)
      throw error
    }
  }
  return ticket.refuse(refusal, dryRun, headers.retryAfter ? seconds : undefined)
}

/** Straight into the reply's own headers: by `reply.header()` the three lines cost a request 4 % more. */
function tell (reply: FastifyReply, headers: QuotaHeaders, decision: Decision): void {
  const own = headersOf(reply)
  if (own !== undefined) headers.write(own, decision)
  else reply.headers(headers.write({}, decision))
}

/** What was held goes on, or ends. */
function conclude (ticket: Ticket, passes: boolean, done: Done | undefined): void {
  if (passes) goOn(ticket, done)
  else if (done !== undefined) endIfOver(ticket)
}

function goOn (ticket: Ticket, done: Done | undefined): void {
  if (done !== undefined) {
    if (!endIfOver(ticket)) done()
    return
  }
  try {
    ticket.resume()
  } catch (error) {
    // The stages behind it: the store that called back is no place for what they throw.
    ticket.fail(error)
  }
}

/** It was refused, or its client has left: the handler that its slot waits for never runs. */
export function endIfOver (ticket: Ticket): boolean {
  const over = ticket.closed || ticket.refused
  if (over) ticket.settle()
  return over
}

/** `reason` may be anything, also nothing, or 0: a request goes on where a hook's callback is given that. */
function fail (ticket: Ticket, reason: unknown, dryRun: boolean, done: Done | undefined): void {
  const error = reason || new Error(`The rate limit could not decide: ${reason} was thrown`)
  if (dryRun) {
    (ticket.request.log as FastifyBaseLogger).error({ err: error }, 'the rate limit could not decide')
    goOn(ticket, done)
  } else if (done === undefined) ticket.fail(error)
  else if (!endIfOver(ticket)) done(error)
}
