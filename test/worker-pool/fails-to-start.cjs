// Preloaded into threads: lets a test decide whether a new thread comes up.
if (process.env.SURGE_TEST_THREADS === 'exit') process.exit(1)
if (process.env.SURGE_TEST_THREADS === 'throw') throw new Error('no thread today')
