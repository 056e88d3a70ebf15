// Tries the codec and the queue with whatever chance thinks of: `npm run fuzz -- --seconds 30 --seed 7 --only queue`.
import { inspect, parseArgs } from 'node:util'
import fc from 'fast-check'
import { roundTrips, survivesDamage } from '../test/fuzz/codec.ts'
import { keepsItsTasks } from '../test/fuzz/queue.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '30' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string', default: '' },
  },
})
const seed = Number(values.seed)

/** Tries a property for so many milliseconds. Returns whether it held. */
async function fuzz<Given>(
  name: string,
  property: fc.IRawProperty<Given>,
  milliseconds: number,
): Promise<boolean> {
  const details = await fc.check(property, {
    seed,
    numRuns: Number.MAX_SAFE_INTEGER,
    interruptAfterTimeLimit: milliseconds,
    markInterruptAsFailure: false,
  })
  const { failed, numRuns, errorInstance } = details
  console.log(`${failed ? 'FAIL' : 'ok  '} ${name}: ${numRuns} runs, seed ${seed}`)
  if (failed) console.log(fc.defaultReportMessage(details), inspect(errorInstance, { depth: 4 }))
  return !failed
}

const fuzzers: Readonly<Record<string, (name: string, milliseconds: number) => Promise<boolean>>> =
  {
    'codec-values': (name, milliseconds) => fuzz(name, roundTrips, milliseconds),
    'codec-damage': (name, milliseconds) => fuzz(name, survivesDamage, milliseconds),
    queue: (name, milliseconds) => fuzz(name, keepsItsTasks, milliseconds),
  }
const chosen = Object.entries(fuzzers).filter(([name]) => name.startsWith(values.only))
for (const [name, run] of chosen)
  if (!(await run(name, (1000 * Number(values.seconds)) / chosen.length))) process.exitCode = 1
