// What every load generator here sends.

/** A GET on a connection that stays. */
export function get (path: string, headers = ''): string {
  return `GET ${path} HTTP/1.1\r\nHost: bench\r\n${headers}\r\n`
}
