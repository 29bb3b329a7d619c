// One chart: its title, a legend that tells the values of now, or of the moment under the pointer in all charts, and the lines.
// Its size never depends on its data, so that nothing moves when a line appears.
/* global document, getComputedStyle, matchMedia, ResizeObserver, uPlot */

const KEPT = 300
/** Seconds that the axis shows at least: fewer would make ripples look like waves. */
const SHORTEST = 30
/** Seconds without an answer: the line stops and begins again. */
const GAP = 3

const COLOURS = {
  '2xx': 'green', '3xx': 'cyan', '4xx': 'amber', '5xx': 'red', 'no reply': 'purple', p50: 'green', p95: 'amber', p99: 'red', offered: 'slate', good: 'green', refused: 'red', late: 'purple', failed: 'amber', hits: 'green', misses: 'amber'
}
const OTHERS = ['blue', 'pink', 'teal', 'orange', 'indigo', 'olive', 'purple', 'cyan']

const charts = []
/** Times at which somebody changed something, drawn into every chart. */
const marks = []
let last = 0

export function show (value) {
  return value === null || value === undefined ? '–' : value < 10 && !Number.isInteger(value) ? value.toFixed(1) : Math.round(value).toLocaleString('en')
}

/** @param at milliseconds since 1970 @param colour one of page.css */
export function mark (at, text, colour) {
  marks.push({ at: at / 1000, text, colour })
  if (marks.length > 50) marks.shift()
}

/** All charts show the same time, or nobody could tell what came of what. */
function range () {
  const end = last === 0 ? Date.now() / 1000 : last
  const first = Math.min(...charts.map(chart => chart.first))
  return [Math.max(end - KEPT, Math.min(first, end - SHORTEST)), end]
}

export class Chart {
  #card = document.createElement('section')
  #plotBox = document.createElement('div')
  #legend = document.createElement('ul')
  #empty = document.createElement('p')
  #time = document.createElement('time')
  #moments = []
  #names = []
  #hidden = new Set()
  #values = new Map()
  #first
  #plot

  constructor (key, { title, unit, empty, first = false }) {
    this.#first = first
    this.#card.className = first ? 'card first' : 'card'
    this.#card.dataset.chart = key
    const heading = document.createElement('h2')
    const small = document.createElement('small')
    small.textContent = unit
    heading.append(title, small, this.#time)
    this.#legend.className = 'legend'
    this.#plotBox.className = 'plot'
    this.#plotBox.role = 'img'
    this.#plotBox.ariaLabel = `${title}, ${unit}`
    this.#empty.className = 'empty'
    this.#empty.textContent = empty
    this.#card.append(heading, this.#legend, this.#plotBox)
    document.getElementById('charts')[first ? 'prepend' : 'append'](this.#card)
    new ResizeObserver(() => this.#plot?.setSize(this.#size())).observe(this.#plotBox)
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#make())
    charts.push(this)
    this.#make()
  }

  /** Seconds since 1970. */
  get first () { return this.#moments[0]?.at ?? Infinity }

  /** @param {Array<{ at: number, values: Record<string, number | null> }>} moments the new ones */
  add (moments) {
    for (const { at, values } of moments) {
      const before = this.#moments.at(-1)
      if (before !== undefined && at / 1000 - before.at > GAP) this.#moments.push({ at: before.at + 1, values: {} })
      this.#moments.push({ at: at / 1000, values })
      last = Math.max(last, at / 1000)
    }
    this.#moments = this.#moments.filter(({ at }) => at >= last - KEPT)
    const names = [...new Set([...this.#names, ...moments.flatMap(({ values }) => Object.keys(values))])]
    if (names.length > this.#names.length) {
      this.#names = names
      this.#make()
    } else this.#plot.setData(this.#data())
    this.#tell()
  }

  #data () {
    return [this.#moments.map(({ at }) => at), ...this.#names.map(name => this.#moments.map(({ values }) => values[name] ?? null))]
  }

  #size () {
    return { width: this.#plotBox.clientWidth, height: this.#plotBox.clientHeight }
  }

  /** A limit has the colour of what it limits. */
  #colour (name) {
    const of = name.replace(/ limit$/, '')
    if (COLOURS[of] !== undefined) return COLOURS[of]
    const others = [...new Set(this.#names.map(name => name.replace(/ limit$/, '')))].filter(name => COLOURS[name] === undefined)
    return OTHERS[others.indexOf(of) % OTHERS.length]
  }

  /** The values of the moment under the pointer, or of the last. */
  #tell () {
    const pointed = this.#plot.cursor.idx
    const moment = this.#moments[pointed ?? this.#moments.length - 1]
    for (const [name, value] of this.#values) value.textContent = show(moment?.values[name])
    this.#time.textContent = pointed == null || moment === undefined ? '' : new Date(moment.at * 1000).toLocaleTimeString('en-GB')
  }

  #makeLegend () {
    this.#values.clear()
    this.#legend.replaceChildren(...this.#names.map((name, at) => {
      const line = document.createElement('i')
      line.style.setProperty('--of', `var(--${this.#colour(name)})`)
      line.classList.toggle('dashed', name.endsWith(' limit'))
      const value = document.createElement('b')
      this.#values.set(name, value)
      const button = document.createElement('button')
      button.append(line, name, value)
      button.ariaPressed = String(!this.#hidden.has(name))
      button.title = 'Shows or hides this line'
      button.addEventListener('click', () => {
        if (!this.#hidden.delete(name)) this.#hidden.add(name)
        button.ariaPressed = String(!this.#hidden.has(name))
        this.#plot.setSeries(at + 1, { show: !this.#hidden.has(name) })
      })
      const item = document.createElement('li')
      item.append(button)
      return item
    }))
  }

  #make () {
    this.#plot?.destroy()
    this.#makeLegend()
    const style = getComputedStyle(document.documentElement)
    const css = name => style.getPropertyValue(`--${name}`).trim()
    const axis = { stroke: css('quiet'), grid: { stroke: css('line'), width: 1 }, ticks: { show: false }, font: '12px system-ui, sans-serif', gap: 6 }
    this.#plot = new uPlot({ // eslint-disable-line new-cap
      ...this.#size(),
      scales: { x: { range }, y: { range: (_plot, _min, max) => [0, Math.max(1, (max ?? 0) * 1.1)] } },
      axes: [
        { ...axis, size: 26, space: 70, values: (_plot, times, _at, _space, step) => times.map(time => new Date(time * 1000).toLocaleTimeString('en-GB').slice(0, step % 60 === 0 ? 5 : 8)) },
        { ...axis, size: 48, values: (_plot, values) => values.map(value => value.toLocaleString('en')) }
      ],
      padding: [10, 30, 0, 0],
      legend: { show: false },
      cursor: { sync: { key: 'surge' }, drag: { x: false, y: false }, points: { size: 7 } },
      series: [{}, ...this.#names.map(name => ({
        label: name,
        show: !this.#hidden.has(name),
        stroke: css(this.#colour(name)),
        width: 2,
        dash: name.endsWith(' limit') ? [5, 4] : undefined,
        points: { show: true, size: 5, filter: alone },
        value: (_plot, value) => show(value)
      }))],
      hooks: { setCursor: [() => this.#plot !== undefined && this.#tell()], draw: [plot => drawMarks(plot, css, this.#first)] }
    }, this.#data(), this.#plotBox)
    if (this.#names.length === 0) this.#plotBox.append(this.#empty)
    else this.#empty.remove()
    this.#tell()
  }
}

/** A value between two that are missing has no line to be seen by. */
function alone ({ data }, series) {
  const values = data[series]
  return values.flatMap((value, at) => value !== null && values[at - 1] == null && values[at + 1] == null ? [at] : [])
}

/** Words where there is room for them, in the wide chart. */
function drawMarks (plot, css, worded) {
  const { ctx, bbox } = plot
  ctx.save()
  ctx.setLineDash([4, 4])
  let free = bbox.left
  for (const { at, text, colour } of marks) {
    const x = Math.round(plot.valToPos(at, 'x', true))
    if (x < bbox.left || x > bbox.left + bbox.width) continue
    ctx.strokeStyle = ctx.fillStyle = css(colour)
    ctx.beginPath()
    ctx.moveTo(x, bbox.top)
    ctx.lineTo(x, bbox.top + bbox.height)
    ctx.stroke()
    const end = x + ctx.measureText(text).width + 8
    if (!worded || x < free || end > ctx.canvas.width) continue
    ctx.textAlign = 'left'
    ctx.fillText(text, x + 4, bbox.top + 8)
    free = end
  }
  ctx.restore()
}
