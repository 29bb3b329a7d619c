// A progress bar on stderr, so that a report on stdout stays clean.

export function progress (total: number, what: string): (done: number) => void {
  const width = 30
  return function show (done) {
    const filled = Math.round(done / total * width)
    if (process.stderr.isTTY) process.stderr.write(`\r${what} [${'█'.repeat(filled)}${'·'.repeat(width - filled)}] ${done}/${total}${done === total ? '\n' : ''}`)
    else if (done === total || done % Math.ceil(total / 10) === 0) process.stderr.write(`${what} ${done}/${total}\n`)
  }
}
