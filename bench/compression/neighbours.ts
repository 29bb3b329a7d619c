// nginx with gzip_static, and Varnish: what servers that do nothing else take for the same bytes. Debian's packages;
// whichever is absent is left out.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { unusedPort } from '../../cli/unused-port.ts'
import { bodyOf, SIZES } from './variants.ts'

export interface Neighbour {
  name: string
  port: number
  /** Microseconds of CPU so far, of all its processes. In ticks of 10 ms: bursts have to be long. */
  cpu: () => Promise<number>
  end: () => Promise<void>
}

const TICK_US = 10_000

function childrenOf (pid: number): number[] {
  const { stdout } = spawnSync('ps', ['-o', 'pid=', '--ppid', String(pid)], { encoding: 'utf8' })
  return stdout.split('\n').map(Number).filter(child => child > 0)
}

async function cpuOf (pid: number): Promise<number> {
  let ticks = 0
  for (const each of [pid, ...childrenOf(pid)]) {
    const fields = (await readFile(`/proc/${each}/stat`, 'utf8')).replace(/^.*\) /, '').split(' ')
    ticks += Number(fields[11]) + Number(fields[12])
  }
  return ticks * TICK_US
}

async function started (name: string, port: number, child: ChildProcess, dir: string): Promise<Neighbour> {
  let said = ''
  child.stderr!.on('data', data => { said += data })
  for (let attempt = 0; ; attempt++) {
    const socket = net.connect(port, '127.0.0.1')
    const open = await once(socket, 'connect').then(() => true, () => false)
    socket.destroy()
    if (open) break
    if (child.exitCode !== null || attempt > 100) throw new Error(`${name} did not start: ${said}`)
    await sleep(100)
  }
  return {
    name,
    port,
    cpu: () => cpuOf(child.pid!),
    async end () {
      child.kill('SIGTERM')
      if (child.exitCode === null) await once(child, 'exit')
      await rm(dir, { recursive: true, force: true })
    }
  }
}

async function nginx (): Promise<Neighbour> {
  const dir = await mkdtemp(join(tmpdir(), 'bench-nginx-'))
  const port = await unusedPort()
  for (const size of SIZES) {
    await writeFile(join(dir, `${size}.json`), bodyOf(size))
    await writeFile(join(dir, `${size}.json.gz`), gzipSync(bodyOf(size)))
  }
  await writeFile(join(dir, 'nginx.conf'), `
    daemon off; worker_processes 1; pid ${dir}/pid; error_log ${dir}/error.log;
    ${process.getuid?.() === 0 ? 'user root;' : ''}
    events { worker_connections 256; }
    http {
      access_log off; sendfile on; keepalive_requests 1000000000; open_file_cache max=16;
      types { application/json json; }
      server { listen 127.0.0.1:${port}; root ${dir}; gzip_static on; location ~ ^/repeated/(\\d+)$ { try_files /$1.json =404; } }
    }`)
  return await started('nginx, gzip_static', port, spawn('nginx', ['-c', join(dir, 'nginx.conf')], { stdio: ['ignore', 'ignore', 'pipe'] }), dir)
}

async function varnish (backend: number): Promise<Neighbour> {
  const dir = await mkdtemp(join(tmpdir(), 'bench-varnish-'))
  const port = await unusedPort()
  await writeFile(join(dir, 'bench.vcl'), `vcl 4.1;
    backend default { .host = "127.0.0.1"; .port = "${backend}"; }
    sub vcl_backend_response { set beresp.do_gzip = true; set beresp.ttl = 1h; }`)
  const args = ['-F', '-j', 'none', '-n', join(dir, 'work'), '-a', `127.0.0.1:${port}`, '-f', join(dir, 'bench.vcl'), '-s', 'malloc,64m']
  return await started('Varnish, from its cache', port, spawn('varnishd', args, { stdio: ['ignore', 'ignore', 'pipe'] }), dir)
}

/** `backend` is the port of a server of the same routes, for Varnish. */
export async function neighbours (backend: number): Promise<Neighbour[]> {
  if (process.platform !== 'linux') return []
  const found: Neighbour[] = []
  for (const [command, start] of [['nginx', nginx], ['varnishd', () => varnish(backend)]] as const) {
    if (spawnSync(command, ['-V']).error === undefined) found.push(await start())
    else process.stderr.write(`${command} is absent and left out: apt-get install ${command === 'nginx' ? 'nginx-light' : 'varnish'}\n`)
  }
  return found
}
