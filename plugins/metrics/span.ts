// What a trace says of a request's admission: which gate, what became of it, and how long it waited. It imports nothing
// of OpenTelemetry; a span is whatever can take attributes and events.
import type { Trace } from '../shared/histogram.ts'
import type { Refusal } from '../shared/refusal.ts'

export interface Span {
  setAttributes: (attributes: Record<string, string | number>) => unknown
  addEvent: (name: string, attributes: Record<string, string | number>) => unknown
  spanContext?: () => { traceId: string, spanId: string, traceFlags: number }
}

/** @param group the gate of its route @param waited milliseconds that it waited for a slot */
export function describe (span: Span, group: string | undefined, refusal: Refusal | undefined, waited: number): void {
  const attributes: Record<string, string | number> = {
    'fastify.admission.outcome': refusal === undefined ? 'admitted' : 'shed',
    'fastify.admission.queue_ms': Math.round(waited * 1000) / 1000
  }
  if (group !== undefined) attributes['fastify.admission.group'] = group
  if (refusal !== undefined) attributes['fastify.admission.reason'] = refusal.reason
  span.setAttributes(attributes)
  if (refusal === undefined) return
  span.addEvent('admission.rejected', { 'fastify.admission.by': refusal.by, 'fastify.admission.reason': refusal.reason, 'fastify.admission.code': refusal.code })
}

/** What an exemplar names; only a trace that is kept is worth naming. */
export function traceOf (span: Span): Trace | undefined {
  const context = span.spanContext?.()
  return context !== undefined && (context.traceFlags & 1) === 1 ? context : undefined
}
