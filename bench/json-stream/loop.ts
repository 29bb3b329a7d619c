// How long the event loop is kept from others while a body of 100 MB streams as fast as it comes.
import { body, shapes } from './bodies.ts'
import { send, slices, start } from './client.ts'

const DELAY_LIMIT_MS = 20
const BYTES = 100e6

export async function loop (): Promise<boolean> {
  let passed = true
  console.log('| 100 MB of | event loop delay, p99 | longest |')
  console.log('|---|---|---|')
  const server = await start('memory', ['--expose-gc'])
  try {
    for (const shape of Object.keys(shapes)) {
      const json = body(shape, BYTES)
      const { delayP99, delayMax } = await send(server, slices(json), json.length, '/?delay=0')
      passed &&= delayP99 <= DELAY_LIMIT_MS
      console.log(`| ${shape} | ${delayP99.toFixed(1)} ms | ${delayMax.toFixed(1)} ms |`)
    }
  } finally {
    server.stop()
  }
  console.log(passed ? `The p99 was ${DELAY_LIMIT_MS} ms at most.` : `A p99 was more than ${DELAY_LIMIT_MS} ms.`)
  return passed
}
