// Goodput against offered load, as one HTML file with an SVG in it and nothing else to load.
import { middle, type Curve } from './scenario.ts'
import { titles, type VariantName } from './variants.ts'
import { CAPACITY } from './workloads.ts'

const WIDTH = 880
const HEIGHT = 440
const LEFT = 64
const RIGHT = 270
const TOP = 24
const BOTTOM = 56

const COLOURS: Partial<Record<VariantName, string>> = { bare: '#8a8a8a', 'under-pressure': '#c98a1b', cap: '#b0413e', tuned: '#1b6ca8', defaults: '#2a8f5c' }
const TALLEST = CAPACITY * 1.1
/** Least distance between two labels at the right edge. */
const LABEL = 18

export function plot (curves: readonly Curve[], summary: ReadonlyArray<readonly string[]>): string {
  const loads = curves[0]!.points.map(({ offered }) => offered)
  const [least, most] = [Math.log(loads[0]!), Math.log(loads.at(-1)!)]
  const x = (offered: number) => LEFT + (Math.log(offered) - least) / (most - least) * (WIDTH - LEFT - RIGHT)
  const y = (good: number) => HEIGHT - BOTTOM - good / TALLEST * (HEIGHT - TOP - BOTTOM)
  const svg = [
    ...[0, 100, 200, 300, 400, 500].map(good => `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(good)}" y2="${y(good)}"/><text x="${LEFT - 10}" y="${y(good) + 4}" text-anchor="end">${good}</text>`),
    ...loads.map(offered => `<text x="${x(offered)}" y="${HEIGHT - BOTTOM + 22}" text-anchor="middle">${offered / CAPACITY}×</text>`),
    `<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 8}" text-anchor="middle">offered load, multiples of the downstream's ${CAPACITY}/s</text>`,
    `<polyline class="ideal" points="${[loads[0]!, CAPACITY, loads.at(-1)!].map(offered => `${x(offered)},${y(Math.min(offered, CAPACITY))}`).join(' ')}"/>`,
    ...curves.map(line),
    ...labels(curves.map(curve => ({ curve, at: y(last(curve)) })))
  ]

  function line ({ variant, points }: Curve): string {
    const colour = COLOURS[variant] ?? 'black'
    const shown = points.filter(({ good }) => good.length > 0)
    const path = shown.map(({ offered, good }) => `${x(offered)},${y(middle(good))}`).join(' ')
    const marks = shown.map(({ offered, good }) =>
      `<line stroke="${colour}" x1="${x(offered)}" x2="${x(offered)}" y1="${y(Math.min(...good))}" y2="${y(Math.max(...good))}"/>` +
      `<circle fill="${colour}" cx="${x(offered)}" cy="${y(middle(good))}" r="3.5"><title>${titles[variant]}, ${offered}/s offered: ${middle(good).toFixed(0)}/s good</title></circle>`)
    return `<polyline fill="none" stroke="${colour}" stroke-width="2" points="${path}"/>${marks.join('')}`
  }

  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>fastify-surge: goodput against offered load</title>
<style>
  body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: ${WIDTH}px; margin: 2rem auto; padding: 0 1rem }
  svg { width: 100%; height: auto } svg text { font: 13px system-ui, sans-serif; fill: #444 } .grid { stroke: #e6e6e6 }
  .ideal { fill: none; stroke: #bbb; stroke-dasharray: 5 4 }
  table { border-collapse: collapse; font-size: 13px } td, th { padding: .2rem .8rem .2rem 0; text-align: left; border-bottom: 1px solid #eee }
</style>
<h1>Good replies a second, past the limit</h1>
<p>200 within the client's 500 ms; open loop, Poisson arrivals. Points are medians, bars the whole range; dashed: what can be had.</p>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="Goodput against offered load">
${svg.join('\n')}
</svg>
<h2>Wanted and measured</h2>
<table>
<tr><th>scenario<th>wanted<th>measured<th>
${summary.map(row => `<tr>${row.map(cell => `<td>${escape(cell)}`).join('')}`).join('\n')}
</table>
</html>
`
}

function last ({ points }: Curve): number {
  return middle(points.findLast(({ good }) => good.length > 0)?.good ?? [0])
}

/** Names beside the lines' ends, pushed apart where they would cover each other. */
function labels (ends: Array<{ curve: Curve, at: number }>): string[] {
  let lowest = HEIGHT
  return ends.sort((a, b) => b.at - a.at).map(({ curve: { variant }, at }) => {
    lowest = Math.min(at, lowest - LABEL)
    return `<text x="${WIDTH - RIGHT + 14}" y="${lowest + 4}" style="fill:${COLOURS[variant] ?? 'black'}">${titles[variant]}</text>`
  })
}

function escape (text: string): string {
  return text.replaceAll('**', '').replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}
