import type { FlowSample, FlowView } from '../index.ts'
import { type Command, CommandError, numberOf, readArguments } from './command.ts'
import { Screen } from './screen.ts'
import { targetOf } from './target.ts'
import { drawFlow } from './top-lines.ts'

/** Samples that are shown, and judged by. */
const SHOWN = 300
/** Milliseconds that `--once` waits for a flow. */
const PATIENCE = 5_000

export const top: Command = {
  help: `Usage: aqueduct top [<address>|<pid>] [options]

Attaches to a flow of this user that has an \`address\`: whether it is healthy, where its bottleneck is, its queues,
workers and errors, each second. Without an argument it takes the only flow that there is. q or Ctrl-C ends it; the flow
goes on. Into a pipe it writes a single picture.

  --once            one picture, then the end; exit code 1 when the flow is in trouble
  --width <columns> for pictures that are not written to a terminal (default 100)
  --no-color        no colours; so does the environment's NO_COLOR
`,
  async run(args) {
    const given = readArguments(
      args,
      { once: { type: 'boolean' }, width: { type: 'string' }, 'no-color': { type: 'boolean' } },
      { most: 1 },
    )
    const width = numberOf(given, 'width', 100, { least: 40, most: 400 })
    const target = targetOf(given.positionals[0])
    const isLive = !given.flag('once') && process.stdout.isTTY && process.stdin.isTTY
    const isColoured = process.stdout.isTTY && !given.flag('no-color') && !process.env['NO_COLOR'] // by its convention '' is not set
    let samples: FlowSample[] = []
    const picture = (view: FlowView, columns: number) =>
      drawFlow(samples, view, { width: columns, isColoured })

    if (!isLive) {
      return new Promise<number>((resolve, reject) => {
        const giveUp = (why: string): void => {
          clearTimeout(timer)
          stop()
          reject(new CommandError(`nothing is to be seen of the flow: ${why}`))
        }
        const timer = setTimeout(() => giveUp('it does not answer'), PATIENCE)
        const stop = target.watch({
          onHistory: (history) => {
            samples = [...history]
          },
          onLost: giveUp,
          onSample: (_, view) => {
            clearTimeout(timer)
            stop()
            const { lines, level } = picture(view, process.stdout.columns ?? width)
            process.stdout.write(`${lines.join('\n')}\n`)
            resolve(level === 'bad' || level === 'down' ? 1 : 0)
          },
        })
      })
    }

    const screen = new Screen()
    let draw = (): void => screen.show(['Waiting for the flow …'])
    const stop = target.watch({
      onHistory: (history) => {
        samples = [...history]
      },
      onSample: (sample, view) => {
        if (samples.at(-1)?.at !== sample.at) samples = [...samples.slice(1 - SHOWN), sample]
        draw = () => screen.show(picture(view, screen.width).lines)
        draw()
      },
      onLost: (why) => {
        draw = () => screen.show([`The flow is out of sight: ${why}.`, 'Waiting for it …'])
        draw()
      },
    })
    draw()
    await screen.untilQuit(() => draw())
    stop()
    return 0
  },
}
