// The live page in a real browser: charts move under load, and at three times what the downstream can do, goodput falls
// when the gates are switched off and comes back when they are on again.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { chromium, type Page } from 'playwright-core'
import { without } from '../support/service.ts'
import { startServer } from './client.ts'
import { temporaryDir } from '../support/temporary-dir.ts'

interface Second { offered: number, good: number, late: number }

async function seconds (port: number, since: number): Promise<Second[]> {
  return (await (await fetch(`http://127.0.0.1:${port}/controls?since=${since}`)).json() as any).seconds
}

/** Waits until the last two seconds together are as `holds` wants them. */
async function until (port: number, what: string, holds: (sum: Second) => boolean): Promise<void> {
  const since = Date.now()
  let last: Second[] = []
  while (Date.now() - since < 20_000) {
    last = (await seconds(port, since)).slice(-2)
    const sum = last.reduce((sum, second) => ({ offered: sum.offered + second.offered, good: sum.good + second.good, late: sum.late + second.late }), { offered: 0, good: 0, late: 0 })
    if (last.length === 2 && holds(sum)) return
    await sleep(200)
  }
  assert.fail(`${what}: ${JSON.stringify(last)}`)
}

/** Where the charts stand: data must not move them. */
function places (page: Page): Promise<string> {
  return page.evaluate("[...document.querySelectorAll('.card')].map(card => [card.dataset.chart, card.offsetTop, card.offsetHeight].join()).join(' ')")
}

/** How much ink is on the canvas of a chart: its lines move, so it changes. */
function drawn (page: Page, chart: string): Promise<string> {
  return page.evaluate(`document.querySelector('[data-chart=${chart}] canvas').toDataURL()`)
}

test('the page: charts move, the gates off and on again at 3×', { skip: without('chromium', 'chromium'), timeout: 90_000 }, async t => {
  const { child, port } = await startServer(t, { PORT: '0', DATA_DIR: await temporaryDir(t) })
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] })
  t.after(() => browser.close())
  const page = await browser.newPage({ viewport: { width: 1280, height: 1000 }, colorScheme: 'dark' })
  const errors: string[] = []
  page.on('pageerror', error => errors.push(error.message))
  page.on('console', message => { if (message.type() === 'error') errors.push(message.text()) })
  await page.goto(`http://127.0.0.1:${port}/surge`)
  await page.waitForSelector('[data-chart=visitors] canvas')
  await page.waitForSelector('#state[data-is=live]')
  await page.getByText('nothing was refused').waitFor()
  const empty = await places(page)

  await page.locator('#load').fill('3')
  await until(port, 'goodput with gates', ({ offered, good }) => offered > 2_000 && good > 0.22 * offered)
  await page.waitForSelector('[data-chart=refusals] .legend b')
  assert.equal(await places(page), empty)
  const before = await drawn(page, 'replies')

  await page.locator('#concurrency').uncheck()
  await until(port, 'collapse without gates', ({ offered, good }) => offered > 1_500 && good < 0.1 * offered)
  await page.locator('#concurrency').check()
  await until(port, 'goodput with gates again', ({ offered, good }) => offered > 2_000 && good > 0.22 * offered)

  assert.notEqual(await drawn(page, 'replies'), before)
  if (process.env.SCREENSHOT !== undefined) {
    await sleep(6_000)
    await page.screenshot({ path: process.env.SCREENSHOT })
  }
  assert.deepEqual(errors, [])

  // Colours are read anew, and nothing is wider than a telephone.
  await page.emulateMedia({ colorScheme: 'light' })
  await page.setViewportSize({ width: 360, height: 740 })
  assert.equal(await page.evaluate('document.documentElement.scrollWidth'), 360)
  child.kill('SIGKILL')
  await page.waitForSelector('#state[data-is=lost]')
})
