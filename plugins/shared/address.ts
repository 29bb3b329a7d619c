// The address of a client as proxies write it: some add the port that it came from, which differs from one connection to the
// next, so that a client would be another one each time.

/** Without port and brackets; what is no address stays as it is. */
export function withoutPort (address: string): string {
  if (!address.includes(':')) return address
  return /^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(address)?.[1] ?? /^\[([^\]]+)\](?::\d+)?$/.exec(address)?.[1] ?? address
}
