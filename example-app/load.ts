// An open-loop load generator in a process of its own: orders are asked for when they are due, whether or not the server
// answers, as visitors do. One that is answered after half a second has gone, and what it was sent is worth nothing.
import http from 'node:http'

export interface Second { offered: number, good: number, refused: number, late: number, failed: number }

const PATIENCE_MS = 500
const TICK_MS = 5
const TOLD_EVERY_MS = 1_000

const agent = new http.Agent({ keepAlive: true, maxFreeSockets: 500 })
let port = 0
let perSecond = 0
let due = performance.now()
let second: Second = { offered: 0, good: 0, refused: 0, late: 0, failed: 0 }

function ask (): void {
  second.offered++
  let ended = false
  function end (as: keyof Second): void {
    if (ended) return
    ended = true
    clearTimeout(timer)
    second[as]++
  }
  const request = http.get({ host: '127.0.0.1', port, path: '/orders', agent })
  const timer = setTimeout(() => { end('late'); request.destroy() }, PATIENCE_MS)
  request.on('error', () => end('failed'))
  request.on('response', response => {
    response.resume()
    response.on('end', () => end(response.statusCode === 200 ? 'good' : response.statusCode === 503 || response.statusCode === 429 ? 'refused' : 'failed'))
  })
}

setInterval(function tick () {
  const now = performance.now()
  // What a stalled process missed is not made up for: it would come as a burst that nobody asked for.
  due = Math.max(due, now - 100)
  if (perSecond === 0) return
  while (due <= now) {
    ask()
    // Exponential gaps: arrivals that know nothing of each other (Poisson).
    due += -Math.log(1 - Math.random()) * 1_000 / perSecond
  }
}, TICK_MS)

setInterval(function tell () {
  process.send!(second)
  second = { offered: 0, good: 0, refused: 0, late: 0, failed: 0 }
}, TOLD_EVERY_MS)

process.on('message', (order: { port: number, perSecond: number }) => {
  if (perSecond === 0) due = performance.now()
  port = order.port
  perSecond = order.perSecond
})
process.on('disconnect', () => process.exit())
