// Asks the server for its last minutes, then for the next second each second, and draws them. Plain modules: no build step.
/* global AbortSignal, document, fetch, setTimeout */
import { Chart, mark, show } from './chart.js'

export { mark }

const { base, script } = document.body.dataset
const PATIENCE_MS = 5_000

const CHARTS = {
  replies: { title: 'Throughput: replies', unit: 'a second', empty: 'no requests yet' },
  latency: { title: 'Latency of good replies', unit: 'ms', empty: 'no good replies yet' },
  refusals: { title: 'Shed, by reason', unit: 'a second', empty: 'nothing was refused' },
  gates: { title: 'In flight, and limits', unit: 'of each gate', empty: 'no gate was met yet' },
  queues: { title: 'Queues', unit: 'waiting at each gate', empty: 'no gate was met yet' },
  requests: { title: 'Requests and connections', unit: 'at a time', empty: 'no requests yet' },
  loop: { title: 'Event loop delay', unit: 'ms, longest of each second', empty: 'not measured yet' },
  memory: { title: 'Memory', unit: 'MiB', empty: 'not measured yet' },
  cache: { title: 'Cache and 304s', unit: 'a second', empty: 'no cache' }
}

const sum = (values = {}) => Object.values(values).reduce((sum, value) => sum + value, 0)

/** What an operator looks at first. */
const NOW = [
  ['throughput', '/s', ({ replies }) => sum(replies)],
  ['good', '/s', ({ replies }) => replies['2xx'] + replies['3xx']],
  ['shed', '/s', ({ refusals }) => sum(refusals)],
  ['p99', 'ms', ({ latency }) => latency.p99],
  ['in flight', '', ({ requests }) => requests.requests],
  ['waiting', '', ({ queues }) => sum(queues)],
  ['loop delay', 'ms', ({ loop }) => loop.delay],
  ['heap', 'MiB', ({ memory }) => memory.heap]
].map(([name, unit, read]) => {
  const [term, value, small] = ['dt', 'dd', 'small'].map(tag => document.createElement(tag))
  term.textContent = name
  small.textContent = unit
  const tile = document.createElement('div')
  tile.append(term, value)
  document.getElementById('now').append(tile)
  return charts => value.replaceChildren(charts === undefined ? '–' : show(read(charts)), ' ', small)
})
for (const tell of NOW) tell()

const charts = new Map(Object.entries(CHARTS).map(([key, settings]) => [key, new Chart(key, settings)]))

/** For a script of the app's own, too: a chart of its own comes before the others. */
export function draw (key, moments, [title, unit, empty = 'nothing yet'] = []) {
  if (!charts.has(key)) charts.set(key, new Chart(key, { title, unit, empty, first: true }))
  if (moments.length > 0) charts.get(key).add(moments)
}

const state = document.getElementById('state')
function say (is, text) {
  if (state.textContent !== text) state.textContent = text
  state.dataset.is = is
}

let since = 0
let lostAt
async function next () {
  try {
    const reply = await fetch(`${base}/data?since=${since}`, { signal: AbortSignal.timeout(PATIENCE_MS) })
    if (!reply.ok) throw new Error(`the server answers ${reply.status}`)
    const { moments } = await reply.json()
    if (moments.length > 0) {
      since = moments.at(-1).at
      for (const key of Object.keys(CHARTS)) draw(key, moments.map(({ at, charts }) => ({ at, values: charts[key] ?? {} })))
      for (const tell of NOW) tell(moments.at(-1).charts)
    }
    lostAt = undefined
    if (since > 0) say('live', 'live')
  } catch (error) {
    lostAt ??= new Date().toLocaleTimeString('en-GB')
    const why = /^the server answers/.test(error.message) ? error.message : error.name === 'TimeoutError' ? `no answer within ${PATIENCE_MS / 1000} s` : 'the server cannot be reached'
    say('lost', `no data since ${lostAt}: ${why}; asking on`)
  }
  setTimeout(next, 1_000)
}

if (script !== '') {
  document.getElementById('controls').hidden = false
  // Not awaited: it imports this module, which would then wait for itself.
  import(script)
}
next()
