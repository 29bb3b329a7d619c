// A server whose replies take DELAY milliseconds; without fastify-surge, and quick to start.
import http from 'node:http'

http.createServer((_request, response) => {
  setTimeout(() => response.end('ok'), Number(process.env.DELAY))
}).listen(Number(process.env.PORT), '127.0.0.1')
