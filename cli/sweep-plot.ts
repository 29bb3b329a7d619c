// What a sweep found, as one HTML file with an SVG in it and nothing else to load: throughput, latency and memory by limit.
import type { Swept } from './figures.ts'
import type { Advice } from './knee.ts'
import type { Load } from './run.ts'

const WIDTH = 880
const PANEL = 190
const GAP = 54
const [LEFT, RIGHT, TOP] = [72, 110, 56]
/** Least distance of two limits that are both named. */
const LABEL = 24

interface Line { name: string, css: string, of: (point: Swept) => number }
interface Panel { title: string, lines: Line[] }

const PANELS: Panel[] = [
  { title: 'good replies a second', lines: [{ name: 'good', css: 'good', of: ({ good }) => good }] },
  { title: 'latency of good replies, ms', lines: [{ name: 'P99', css: 'p99', of: ({ p99 }) => p99 }, { name: 'P95', css: 'p95', of: ({ p95 }) => p95 }, { name: 'P50', css: 'p50', of: ({ p50 }) => p50 }] },
  { title: 'resident memory, MiB', lines: [{ name: 'RSS', css: 'rss', of: ({ rss }) => rss / 2 ** 20 }] },
  { title: 'event loop delay, P99, ms', lines: [{ name: 'loop', css: 'loop', of: ({ loopDelay }) => loopDelay }] }
]

export function plot (swept: readonly Swept[], { inflection, recommended, remarks }: Advice, { rate, target }: Load): string {
  const panels = PANELS.filter(({ lines }) => lines.some(({ of }) => swept.some(point => Number.isFinite(of(point)))))
  const height = TOP + panels.length * (PANEL + GAP)
  const [least, most] = [Math.log(swept[0]!.limit), Math.log(swept.at(-1)!.limit)]
  const x = (limit: number): number => most === least ? (LEFT + WIDTH - RIGHT) / 2 : LEFT + (Math.log(limit) - least) / (most - least) * (WIDTH - LEFT - RIGHT)
  const marked = [
    ...recommended === undefined ? [] : [{ limit: recommended, name: recommended === inflection ? 'recommended, inflection' : 'recommended' }],
    ...inflection === undefined || inflection === recommended ? [] : [{ limit: inflection, name: 'inflection' }]
  ]
  // Towards the middle, where there is room.
  const names = marked.map(({ limit, name }, i) => {
    const right = x(limit) > (LEFT + WIDTH - RIGHT) / 2
    return `<text class="name" x="${x(limit) + (right ? -5 : 5)}" y="${TOP - 34 + 16 * i}"${right ? ' text-anchor="end"' : ''}>${name}: ${limit}</text>`
  })
  const named = marked.map(({ limit }) => limit)
  for (const { limit } of swept) if (named.every(other => Math.abs(x(other) - x(limit)) >= LABEL)) named.push(limit)

  function panel ({ title, lines }: Panel, index: number): string {
    const top = TOP + index * (PANEL + GAP)
    const ticks = ticksUpTo(Math.max(...lines.flatMap(({ of }) => swept.map(of)).filter(Number.isFinite)))
    const y = (value: number): number => top + PANEL - value / ticks.at(-1)! * (PANEL - 22)
    const spread = apart(lines.map(({ of }) => y(lastOf(swept, of))))
    return [
      ...ticks.map(tick => `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(tick)}" y2="${y(tick)}"/><text x="${LEFT - 10}" y="${y(tick) + 4}" text-anchor="end">${tick}</text>`),
      `<text class="name" x="${LEFT}" y="${top + 10}">${title}</text>`,
      ...marked.map(({ limit }) => `<line class="mark" x1="${x(limit)}" x2="${x(limit)}" y1="${index === 0 ? TOP - 30 : top + 16}" y2="${top + PANEL}"/>`),
      ...named.map(limit => `<text x="${x(limit)}" y="${top + PANEL + 20}" text-anchor="middle">${limit}</text>`),
      ...lines.map(({ name, css, of }, i) => {
        const points = swept.filter(point => Number.isFinite(of(point)))
        return `<polyline class="${css}" points="${points.map(point => `${x(point.limit)},${y(of(point))}`).join(' ')}"/>` +
          points.map(point => `<circle class="${css}" cx="${x(point.limit)}" cy="${y(of(point))}" r="3.5"><title>limit ${point.limit}: ${of(point).toFixed(1)}</title></circle>`).join('') +
          `<text class="${css}" x="${WIDTH - RIGHT + 14}" y="${spread[i]! + 4}">${name}</text>`
      })
    ].join('\n')
  }

  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>fastify-surge sweep</title>
<style>
  :root { color-scheme: light dark; --ink: #222; --soft: #666; --grid: #e4e4e4; --paper: #fff; --a: #2a8f5c; --b: #b0413e; --c: #1b6ca8; --d: #c98a1b }
  @media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --soft: #a0a0a0; --grid: #333; --paper: #161616; --a: #57c98d; --b: #ef7f7b; --c: #6cb4ee; --d: #e9b04a } }
  body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: ${WIDTH}px; margin: 2rem auto; padding: 0 1rem }
  code { white-space: nowrap } svg { width: 100%; height: auto } svg text { font: 13px system-ui, sans-serif; fill: var(--soft) } svg .name { fill: var(--ink) }
  .grid { stroke: var(--grid) } .mark { stroke: var(--soft); stroke-dasharray: 4 4 } polyline { fill: none; stroke-width: 2 }
  polyline.good { stroke: var(--a) } .good:not(polyline) { fill: var(--a) } polyline.p99 { stroke: var(--b) } .p99:not(polyline) { fill: var(--b) }
  polyline.p95 { stroke: var(--d) } .p95:not(polyline) { fill: var(--d) } polyline.p50, polyline.rss, polyline.loop { stroke: var(--c) }
  .p50:not(polyline), .rss:not(polyline), .loop:not(polyline) { fill: var(--c) }
</style>
<h1>Which limit</h1>
<p>${rate} requests a second of <code>${escape(`${target.method ?? 'GET'} ${target.path}`)}</code>, open loop, Poisson arrivals. ${recommended === undefined ? '' : `Recommended: <code>concurrency: { limit: ${recommended} }</code>, the smallest with 98 % of the best throughput.`} ${remarks.map(escape).join(' ')}</p>
<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="Throughput, latency and memory by limit">
${[...names, ...panels.map(panel)].join('\n')}
</svg>
</html>
`
}

function lastOf (swept: readonly Swept[], of: Line['of']): number {
  return of(swept.findLast(point => Number.isFinite(of(point))) ?? swept[0]!)
}

/** Four to six round numbers from 0 to just above `value`. */
function ticksUpTo (value: number): number[] {
  if (value <= 0) return [0, 1]
  const rough = value / 4
  const magnitude = 10 ** Math.floor(Math.log10(rough))
  const step = [1, 2, 2.5, 5, 10].map(factor => factor * magnitude).find(step => step >= rough)!
  return Array.from({ length: Math.ceil(value / step) + 1 }, (_, i) => Number((i * step).toPrecision(6)))
}

/** Heights of labels, each at least its own below the one above it. */
function apart (heights: readonly number[]): number[] {
  let lowest = -Infinity
  const placed: number[] = []
  for (const { height, i } of heights.map((height, i) => ({ height, i })).sort((a, b) => a.height - b.height)) placed[i] = lowest = Math.max(height, lowest + 16)
  return placed
}

function escape (text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}
