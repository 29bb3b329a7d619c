// The controls of the example on the live page, and what its visitors see: how many orders were answered in time.
/* global document, fetch, setTimeout */
import { draw, mark } from '/surge/page.js'

const NAMES = { concurrency: 'gates', deadline: 'deadlines', pressure: 'pressure', rateLimit: 'rate limit' }
const ABOUT = { rateLimit: 'All of this load comes from one address, whose quota would be gone in a second: so it is off from the first load on.' }
const controls = document.getElementById('controls')
controls.innerHTML = `
  <style>
    #controls { display: flex; flex-wrap: wrap; align-items: center; gap: 8px 20px }
    #controls label { display: inline-flex; align-items: center; gap: 7px; white-space: nowrap }
    #controls input[type=range] { width: min(240px, 46vw); accent-color: var(--accent) }
    #factor { min-width: 2.6em; color: var(--ink); font-weight: 600; font-variant-numeric: tabular-nums }
    #switches { display: flex; flex-wrap: wrap; gap: 6px 8px }
    #switches label { padding: 3px 10px 3px 8px; border: 1px solid var(--line); border-radius: 99px; cursor: pointer }
    #switches input { accent-color: var(--accent); margin: 0 }
    #switches label:has(:focus-visible) { outline: 2px solid var(--accent) }
    #switches b { min-width: 1.7em; color: var(--red) }
    #switches :checked ~ b { color: var(--green) }
    #goodput { flex-basis: 100%; color: var(--ink); font-variant-numeric: tabular-nums }
  </style>
  <label>load <input id="load" type="range" min="0" max="5" step="0.5" value="0" aria-describedby="goodput"> <output id="factor">0×</output></label>
  <span id="switches" role="group" aria-label="Protections"></span>
  <output id="goodput">Move the load past 1×, then switch the gates off and on.</output>`
const slider = document.getElementById('load')
const factor = document.getElementById('factor')
const goodput = document.getElementById('goodput')
const switches = new Map()
const HEADING = ['Orders as their visitors see them', 'a second; late is after 500 ms', 'no load: move the slider']
draw('visitors', [], HEADING)

function change (body) {
  return fetch('/controls', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
    .catch(() => { goodput.textContent = 'The server did not hear of that change.' })
}

slider.addEventListener('input', () => { factor.textContent = `${slider.value}×` })
slider.addEventListener('change', () => change({ load: Number(slider.value) }))

function makeSwitch (key) {
  const box = document.createElement('input')
  box.type = 'checkbox'
  box.role = 'switch'
  box.id = key
  box.addEventListener('change', () => { change({ protection: key, on: box.checked }).then(() => show(key, box.checked)) })
  const word = document.createElement('b')
  const label = document.createElement('label')
  label.title = ABOUT[key] ?? ''
  label.append(box, NAMES[key] ?? key, word)
  document.getElementById('switches').append(label)
  return { box, word }
}

function show (key, on) {
  if (!switches.has(key)) switches.set(key, makeSwitch(key))
  const { box, word } = switches.get(key)
  box.checked = on
  word.textContent = on ? 'on' : 'off'
}

let since = 0
let marked = 0
async function next () {
  try {
    const { load, capacity, protections, seconds, changes } = await (await fetch(`/controls?since=${since}`)).json()
    if (since === 0) {
      slider.value = load
      factor.textContent = `${load}×`
    }
    for (const [key, on] of Object.entries(protections)) show(key, on)
    for (const { at, load, protection, on } of changes.filter(({ at }) => at > marked)) {
      if (protection !== undefined) mark(at, `${NAMES[protection] ?? protection} ${on ? 'on' : 'off'}`, on ? 'green' : 'red')
      else mark(at, `load ${load}×`, 'slate')
      marked = at
    }
    if (seconds.length > 0) {
      since = seconds.at(-1).at
      const { good, offered } = seconds.at(-1)
      goodput.textContent = `${good} of ${offered} orders answered in time; the downstream can serve ${capacity} a second.`
      draw('visitors', seconds.map(({ at, offered, good, refused, late, failed }) => ({ at, values: { offered, good, refused, late, failed } })), HEADING)
    }
  } catch {}
  setTimeout(next, 1_000)
}
next()
