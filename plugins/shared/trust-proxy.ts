// Whose address a request has: with a careless `trustProxy` every client chooses its own, and each limit a client with it.

/** What is unsafe about a setting of `trustProxy`; undefined where nothing is. */
export function trustProxyWarning (trustProxy: unknown): string | undefined {
  if (trustProxy === true) return '`trustProxy: true` lets any client choose its own address by X-Forwarded-For, and with it its rate limit. Name the addresses of your proxies instead.'
  if (typeof trustProxy === 'number') return '`trustProxy` as a number of hops trusts nobody since CVE-2026-16732, so that all clients of a proxy share one address. Name the addresses of your proxies instead.'
  return undefined
}
