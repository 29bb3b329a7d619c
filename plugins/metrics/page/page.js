// Draws what the server keeps of the last minutes, and asks for the next second each second. Plain modules: no build step.
/* global document, fetch, getComputedStyle, matchMedia, ResizeObserver, setTimeout, uPlot */

const { base, script } = document.body.dataset
const WINDOW = 300
const HEIGHT = 190

const TITLES = {
  replies: ['Replies', 'a second'],
  latency: ['Latency of good replies', 'ms'],
  refusals: ['Refused', 'a second'],
  gates: ['Gates', 'running, limit, waiting'],
  requests: ['Requests and connections', 'at a time'],
  loop: ['Event loop delay, longest', 'ms'],
  memory: ['Memory', 'MiB'],
  cache: ['Cache', 'a second']
}
const COLOURS = {
  '2xx': '#16a34a', '3xx': '#0891b2', '4xx': '#d97706', '5xx': '#dc2626', 'no reply': '#9333ea', good: '#16a34a', late: '#9333ea', refused: '#dc2626', offered: '#64748b', p50: '#16a34a', p95: '#d97706', p99: '#dc2626'
}
const OTHERS = ['#2563eb', '#db2777', '#0d9488', '#ca8a04', '#7c3aed', '#ea580c', '#4d7c0f', '#0369a1']

class Chart {
  #card = document.createElement('section')
  #moments = []
  #names = []
  #plot

  constructor (key, [title, unit], first) {
    this.#card.className = 'card'
    this.#card.dataset.chart = key
    const heading = document.createElement('h2')
    heading.append(`${title} `)
    const small = document.createElement('small')
    small.textContent = unit
    heading.append(small)
    this.#card.append(heading)
    document.getElementById('charts')[first ? 'prepend' : 'append'](this.#card)
    new ResizeObserver(() => this.#plot?.setSize(this.#size())).observe(this.#card)
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#make())
  }

  /** @param {Array<{ at: number, values: Record<string, number | null> }>} moments the new ones */
  add (moments) {
    this.#moments = [...this.#moments, ...moments].slice(-WINDOW)
    const names = [...new Set([...this.#names, ...moments.flatMap(({ values }) => Object.keys(values))])]
    if (this.#plot !== undefined && names.length === this.#names.length) {
      this.#plot.setData(this.#data())
      return
    }
    this.#names = names
    if (names.length > 0) this.#make()
  }

  #data () {
    return [this.#moments.map(({ at }) => at / 1000), ...this.#names.map(name => this.#moments.map(({ values }) => values[name] ?? null))]
  }

  #size () {
    return { width: this.#card.clientWidth - 24, height: HEIGHT }
  }

  #make () {
    this.#plot?.destroy()
    const style = getComputedStyle(document.documentElement)
    const [quiet, line] = ['--quiet', '--line'].map(name => style.getPropertyValue(name).trim())
    const axis = { stroke: quiet, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } }
    this.#plot = new uPlot({ // eslint-disable-line new-cap
      ...this.#size(),
      scales: { y: { range: (_plot, _min, max) => [0, Math.max(1, (max ?? 0) * 1.1)] } },
      axes: [{ ...axis, values: '{HH}:{mm}:{ss}', space: 80 }, { ...axis, size: 52 }],
      padding: [8, 8, 0, 0],
      cursor: { sync: { key: 'surge' } },
      series: [{ value: '{HH}:{mm}:{ss}' }, ...this.#names.map((name, at) => ({
        label: name,
        stroke: COLOURS[name] ?? OTHERS[at % OTHERS.length],
        width: 1.5,
        dash: name.endsWith(' limit') ? [5, 4] : undefined,
        points: { show: false },
        value: (_plot, value) => value === null ? '–' : value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString('en')
      }))]
    }, this.#data(), this.#card)
  }
}

const charts = new Map()

/** For a script of the app's own, too: a chart of its own comes before the others. */
export function draw (key, moments, title) {
  if (!charts.has(key)) charts.set(key, new Chart(key, title ?? TITLES[key], title !== undefined))
  charts.get(key).add(moments)
}

let since = 0
async function next () {
  const state = document.getElementById('state')
  try {
    const reply = await fetch(`${base}/data?since=${since}`)
    if (!reply.ok) throw new Error(`the server answers ${reply.status}`)
    const { moments } = await reply.json()
    if (moments.length > 0) {
      since = moments.at(-1).at
      for (const key of Object.keys(TITLES)) {
        const own = moments.map(({ at, charts }) => ({ at, values: charts[key] ?? {} }))
        if (charts.has(key) || own.some(({ values }) => Object.keys(values).length > 0)) draw(key, own)
      }
      state.textContent = 'live'
    }
  } catch (error) {
    state.textContent = `no data: ${error.message}`
  }
  setTimeout(next, 1_000)
}

if (script !== '') {
  document.getElementById('controls').hidden = false
  // Not awaited: it imports this module, which would then wait for itself.
  import(script)
}
next()
