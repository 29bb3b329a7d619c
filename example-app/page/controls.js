// The controls of the example on the live page, and what its visitors see: how many orders were answered in time.
/* global document, fetch, setTimeout */
import { draw } from '/surge/page.js'

const NAMES = { concurrency: 'gates', deadline: 'deadlines', pressure: 'pressure', rateLimit: 'rate limit' }
const controls = document.getElementById('controls')
controls.innerHTML = `
  <style>
    #controls { display: flex; flex-wrap: wrap; align-items: center; gap: 8px 18px }
    #controls input[type=range] { width: 240px; accent-color: var(--accent) }
    #controls label { display: inline-flex; align-items: center; gap: 6px }
    #goodput { font-weight: 600; color: var(--ink) }
  </style>
  <label>load <input id="load" type="range" min="0" max="5" step="0.5" value="0"> <output id="factor">0</output></label>
  <span id="switches"></span>
  <output id="goodput"></output>`
const slider = document.getElementById('load')
const switches = new Map()

function change (body) {
  return fetch('/controls', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
}

slider.addEventListener('input', () => {
  document.getElementById('factor').textContent = `${slider.value}×`
  change({ load: Number(slider.value) })
})

function showSwitches (protections) {
  for (const [key, on] of Object.entries(protections)) {
    let box = switches.get(key)
    if (box === undefined) {
      box = document.createElement('input')
      box.type = 'checkbox'
      box.id = key
      box.addEventListener('change', () => change({ protection: key, on: box.checked }))
      const label = document.createElement('label')
      label.append(box, NAMES[key] ?? key)
      document.getElementById('switches').append(label, ' ')
      switches.set(key, box)
    }
    box.checked = on
  }
}

let since = 0
async function next () {
  try {
    const { load, capacity, protections, seconds } = await (await fetch(`/controls?since=${since}`)).json()
    if (since === 0) {
      slider.value = load
      document.getElementById('factor').textContent = `${load}×`
    }
    showSwitches(protections)
    if (seconds.length > 0) {
      since = seconds.at(-1).at
      const { good, offered } = seconds.at(-1)
      document.getElementById('goodput').textContent = `${good} of ${offered} orders answered in time; ${capacity} a second is what the downstream can do`
      draw('visitors', seconds.map(({ at, offered, good, refused, late }) => ({ at, values: { offered, good, refused, late } })), ['Orders as visitors see them', 'a second; late is after 500 ms'])
    }
  } catch {}
  setTimeout(next, 1_000)
}
next()
