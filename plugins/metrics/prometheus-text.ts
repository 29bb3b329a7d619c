// Writes families as Prometheus text 0.0.4 or OpenMetrics 1.0.0, names and labels by OpenTelemetry's rules for
// Prometheus: dots become underscores, then the unit, then `_total` of a counter.
import type { Exemplar, Histogram } from '../shared/histogram.ts'
import type { Family, Instrument, Labels } from '../shared/instruments.ts'

export type Format = 'prometheus' | 'openmetrics'

export const CONTENT_TYPES: Record<Format, string> = {
  prometheus: 'text/plain; version=0.0.4; charset=utf-8',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8'
}

const UNITS = { s: 'seconds', By: 'bytes' }

/** The format that a scraper likes best, and Prometheus text where it names neither; a wildcard is no wish for the other. */
export function formatFor (accept = ''): Format {
  const openmetrics = quality(accept, /^application\/openmetrics-text$/i)
  return openmetrics > 0 && openmetrics >= quality(accept, /^text\/plain$/i) ? 'openmetrics' : 'prometheus'
}

/** The highest of the ranges of this type (RFC 9110 section 12.5.1); 0 where there is none. */
function quality (accept: string, type: RegExp): number {
  let best = 0
  for (const range of accept.split(',')) {
    const [name, ...parameters] = range.split(';').map(part => part.trim())
    if (!type.test(name!)) continue
    const weight = parameters.find(parameter => /^q=/i.test(parameter))?.slice(2) ?? '1'
    best = Math.max(best, Number(weight) || 0)
  }
  return best
}

/** Without the `_total` of a counter, as OpenMetrics names the family. */
function familyName ({ name, unit }: Instrument): string {
  const base = name.replaceAll('.', '_')
  return unit === undefined || base.endsWith(`_${UNITS[unit]}`) ? base : `${base}_${UNITS[unit]}`
}

export function metricName (instrument: Instrument): string {
  return familyName(instrument) + (instrument.type === 'counter' ? '_total' : '')
}

export function labelName (name: string): string {
  return name.replaceAll('.', '_')
}

export function writeText (families: readonly Family[], format: Format): string {
  let text = ''
  for (const family of families) text += writeFamily(family, format)
  return format === 'openmetrics' ? text + '# EOF\n' : text
}

function writeFamily ({ instrument, points }: Family, format: Format): string {
  const sample = metricName(instrument)
  const name = format === 'openmetrics' ? familyName(instrument) : sample
  let text = `# HELP ${name} ${escapeHelp(instrument.help)}\n# TYPE ${name} ${instrument.type}\n`
  if (format === 'openmetrics' && instrument.unit !== undefined) text += `# UNIT ${name} ${UNITS[instrument.unit]}\n`
  for (const { labels, value } of points) {
    const pairs = writeLabels(labels)
    if (typeof value === 'number') text += `${sample}${pairs === '' ? '' : `{${pairs}}`} ${writeNumber(value)}\n`
    else text += writeHistogram(name, pairs, value, format)
  }
  return text
}

function writeHistogram (name: string, pairs: string, { bounds, counts, sum, exemplars }: Histogram, format: Format): string {
  const before = pairs === '' ? '' : `${pairs},`
  let text = ''
  let count = 0
  for (let at = 0; at < counts.length; at++) {
    count += counts[at]!
    const le = at < bounds.length ? writeBound(bounds[at]!, format) : '+Inf'
    text += `${name}_bucket{${before}le="${le}"} ${count}${format === 'openmetrics' ? writeExemplar(exemplars?.[at]) : ''}\n`
  }
  const own = pairs === '' ? '' : `{${pairs}}`
  return `${text}${name}_sum${own} ${writeNumber(sum)}\n${name}_count${own} ${count}\n`
}

/** OpenMetrics wants a canonical float: "1.0". */
function writeBound (bound: number, format: Format): string {
  return format === 'openmetrics' && Number.isInteger(bound) ? `${bound}.0` : String(bound)
}

function writeExemplar (exemplar: Exemplar | undefined): string {
  if (exemplar === undefined) return ''
  const { traceId, spanId, value, at } = exemplar
  return ` # {trace_id="${traceId}",span_id="${spanId}"} ${value} ${at / 1000}`
}

function writeLabels (labels: Labels): string {
  let text = ''
  for (const name in labels) {
    const value = labels[name]
    if (value === undefined) continue
    text += `${text === '' ? '' : ','}${labelName(name)}="${typeof value === 'number' ? value : escapeLabel(value)}"`
  }
  return text
}

function writeNumber (value: number): string {
  return value === Infinity ? '+Inf' : value === -Infinity ? '-Inf' : String(value)
}

function escapeHelp (text: string): string {
  return text.replace(/\\/g, '\\\\').replace(/\n/g, '\\n')
}

function escapeLabel (text: string): string {
  return /["\\\n]/.test(text) ? escapeHelp(text).replace(/"/g, '\\"') : text
}
