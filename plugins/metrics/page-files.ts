// The files of the live page, read once at boot, uPlot's among them: it loads nothing from elsewhere and needs no build.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

export interface PageFile { readonly url: string, readonly type: string, readonly text: string }

export const CSP = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"

/** Where they are, seen from `plugins/metrics` and from `dist/metrics` alike. */
const OURS = new URL('../../plugins/metrics/page/', import.meta.url)

/** @param base path of the page, as a browser has it @param script of the app's own, or '' */
export function readPage (base: string, script: string): PageFile[] {
  const uplot = createRequire(import.meta.url).resolve('uplot').replace(/[^/\\]+$/, '')
  const ours = (name: string): string => readFileSync(new URL(name, OURS), 'utf8')
  const page = ours('index.html').replaceAll('BASE', () => escaped(base)).replace('SCRIPT', () => escaped(script))
  return [
    { url: '', type: 'text/html', text: page },
    { url: '/page.js', type: 'text/javascript', text: ours('page.js') },
    { url: '/chart.js', type: 'text/javascript', text: ours('chart.js') },
    { url: '/page.css', type: 'text/css', text: ours('page.css') },
    { url: '/uplot.js', type: 'text/javascript', text: readFileSync(`${uplot}uPlot.iife.min.js`, 'utf8') },
    { url: '/uplot.css', type: 'text/css', text: readFileSync(`${uplot}uPlot.min.css`, 'utf8') }
  ]
}

function escaped (value: string): string {
  return value.replaceAll('&', '&amp;').replaceAll('"', '&quot;')
}
