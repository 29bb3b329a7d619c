// Whether a request comes from this host and was meant for it: not through a proxy, and not from a page in a browser
// whose name was rebound to 127.0.0.1.
import { isIPv4 } from 'node:net'
import type { IncomingHttpHeaders } from 'node:http'

const PROXIED = ['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip'] as const

export function isLoopback (address: string | undefined): boolean {
  if (address === undefined) return false
  const plain = address.toLowerCase().startsWith('::ffff:') ? address.slice(7) : address
  return plain === '::1' || (isIPv4(plain) && plain.startsWith('127.'))
}

export function isLocal (remoteAddress: string | undefined, headers: IncomingHttpHeaders): boolean {
  if (!isLoopback(remoteAddress) || PROXIED.some(name => headers[name] !== undefined)) return false
  const host = /^(?:\[(.*)\]|([^:]*))(?::\d+)?$/.exec(headers.host ?? headers[':authority'] as string | undefined ?? '')
  const name = host?.[1] ?? host?.[2] ?? ''
  return name.toLowerCase() === 'localhost' || isLoopback(name)
}
