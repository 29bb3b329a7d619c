// The open-loop generator in a process of its own: a plan comes in, its attempts go out.
import { OpenLoop, type Plan } from './open-loop.ts'

process.on('message', async (plan: Plan) => {
  process.send!(await new OpenLoop(plan).run())
})
process.on('disconnect', () => process.exit())
process.send!('ready')
