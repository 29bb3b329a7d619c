// Makes 'localhost' two addresses, so that listen() opens a secondary listener on any machine.
import dns from 'node:dns'
import type { TestContext } from 'node:test'

export function localhostHasTwoAddresses (t: TestContext): void {
  t.mock.method(dns, 'lookup', (host: string, options: any, done: any) => {
    const addresses = host === 'localhost' ? ['127.0.0.1', '127.0.0.2'] : [host]
    if (typeof options === 'function') return options(null, addresses[0], 4)
    if (!options.all) return done(null, addresses[0], 4)
    done(null, addresses.map(address => ({ address, family: 4 })))
  })
}
