import { stripVTControlCharacters } from 'node:util'
import { expect, test } from 'vitest'
import { drawFlow } from '../../src/cli/top-lines.ts'
import { Flow, FlowStep } from '../../src/index.ts'
import { WorkHandler, WorkTask } from '../fixtures/work.ts'
import { Journal, rejection, started } from '../support/flow.ts'
import { Watcher } from '../support/watcher.ts'

const escape = '\u001b[31m\u001b]0;title\u0007'

test('a picture fits, says what the flow says, and lets no task move the cursor', async () => {
  const journal = new Journal()
  await using flow = await started(
    new Flow([new FlowStep(WorkHandler, { batchSize: 4, isolation: 'thread' })], {
      queuePriorities: 2,
      logger: journal,
    }),
  )
  await flow.process(new WorkTask(1))
  await rejection(flow.process(new WorkTask(2, { throws: `bad ${escape}` })))
  await journal.reached('error', 1)
  using watcher = new Watcher(flow)
  const { sample, view } = watcher.last
  for (const width of [40, 80, 200]) {
    for (const isColoured of [true, false]) {
      const { lines } = drawFlow([sample], view, { width, isColoured })
      const plain = lines.map(stripVTControlCharacters)
      for (const line of plain) expect(line.length).toBeLessThanOrEqual(width)
      expect(lines.join('\n')).not.toContain('\u0007')
      expect(lines.join('\n').includes('\u001b[')).toBe(isColoured)
    }
  }
  const text = drawFlow([sample], view, { width: 200, isColoured: false }).lines.join('\n')
  expect(text).toContain('1 done, 0 pending, 1 failed')
  expect(text).toContain('0 + 0') // what waits, by priority
  expect(text).toContain('WorkHandler 0  running')
  expect(text).toContain('bad')
})

test('the flow’s state is what the picture is judged by', async () => {
  const flow = new Flow([WorkHandler])
  using watcher = new Watcher(flow)
  const { sample, view } = watcher.last
  expect(drawFlow([sample], view, { width: 80, isColoured: false })).toMatchObject({
    level: 'down',
  })
})
