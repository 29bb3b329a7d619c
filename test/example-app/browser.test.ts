// A real browser's cache against the example: Chromium revalidates what it has, and shows the right bytes.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { chromium, type Page } from 'playwright-core'
import { productOf } from '../../example-app/product.ts'
import { importOf, start } from './client.ts'

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium'
const missing = !existsSync(CHROMIUM) && process.env.SURGE_REQUIRE_SERVICES !== '1' && `needs ${CHROMIUM}: apt-get install chromium, or CHROMIUM=path`

/** Loads the url as a user would, and tells the status on the wire beside the body that the page got. */
async function load (page: Page, url: string): Promise<{ status: number, coding: string | undefined, body: any }> {
  const network = await page.context().newCDPSession(page)
  await network.send('Network.enable')
  let wire = { status: 0, headers: {} as Record<string, string> }
  let document: string | undefined
  network.on('Network.requestWillBeSent', ({ type, requestId }) => { if (type === 'Document') document = requestId })
  // What the page sees is the 200 of its cache: the 304 shows here only.
  network.on('Network.responseReceivedExtraInfo', ({ requestId, statusCode, headers }) => { if (requestId === document) wire = { status: statusCode, headers } })
  await page.goto(url)
  const body = JSON.parse(await page.evaluate('document.body.innerText'))
  await network.detach()
  return { status: wire.status, coding: wire.headers['content-encoding'], body }
}

test('Chromium gets 304s for what it has, the new bytes after a write, and never wrong ones', { skip: missing }, async t => {
  const { port } = await start(t)
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] })
  t.after(() => browser.close())
  const page = await (await browser.newContext()).newPage()
  for (const path of ['/products', '/products?after=10&limit=50', '/products/7', '/']) {
    const url = `http://127.0.0.1:${port}${path}`
    const first = await load(page, url)
    assert.equal(first.status, 200, path)
    for (let again = 0; again < 3; again++) {
      const { status, body } = await load(page, url)
      assert.equal(status, 304, path)
      assert.deepEqual(body, first.body)
    }
  }
  const products = await load(page, `http://127.0.0.1:${port}/products?after=1900`)
  assert.ok(products.coding !== undefined, 'encoded')
  assert.equal(products.body.products.length, 100)
  await importOf(port, 'json', JSON.stringify([productOf(2001)]))
  const changed = await load(page, `http://127.0.0.1:${port}/products?after=1900`)
  assert.equal(changed.status, 200)
  assert.deepEqual(changed.body.products.at(-1), productOf(2001))
})
