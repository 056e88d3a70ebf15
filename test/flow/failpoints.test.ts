import { describe, expect, test } from 'vitest'
import { Flow, FlowStep, type FlowStepOptions } from '../../src/index.ts'
import { Cutter, FailingTask, Looker, isWhole } from '../fixtures/failing.ts'
import { Failpoints, failpointSeconds, leastDeaths } from '../support/failpoints.ts'
import { Journal, pidsOf, started, survivors, turn, until } from '../support/flow.ts'

const BYTES = 40_000
const MINUTE = 60_000

interface Setting {
  readonly steps: readonly [FlowStepOptions<FailingTask>, FlowStepOptions<FailingTask>]
  readonly memory: number
}

const settings: Readonly<Record<string, Setting>> = {
  'that take what is there': {
    steps: [
      { nprocs: 2, batchSize: 4 },
      { nprocs: 2, batchSize: 4 },
    ],
    memory: 1 << 24,
  },
  'that gather, sleep, and wait for room in front of the next step': {
    steps: [
      { nprocs: 2, batchSize: 3, batchTimeout: 2 },
      { nprocs: 2, batchSize: 2, queueSize: 1, concurrency: 2 },
    ],
    memory: 1 << 24,
  },
  'that wait for memory': {
    steps: [
      { nprocs: 2, batchSize: 2 },
      { nprocs: 2, batchSize: 2 },
    ],
    memory: 1 << 19,
  },
}
const IN_FLIGHT = 14

/** What the death of a worker may come to for a task that it had started. */
const OF_DEATHS = new Set<unknown>(['AQ_WORKER_DIED', 'AQ_TASK_POISONED'])

/** Tasks in flight all the time, each of which comes to what it should, or to the death of a worker. */
class Load {
  readonly #flow: Flow<FailingTask>
  readonly #loops: readonly Promise<void>[]
  readonly wrong: string[] = []
  /** Atomic operations that a worker of the first step has made for a batch, at most. */
  operations = 0
  submitted = 0
  died = 0
  #isOver = false

  constructor(flow: Flow<FailingTask>) {
    this.#flow = flow
    this.#loops = Array.from({ length: IN_FLIGHT }, () => this.#run())
  }

  async end(): Promise<void> {
    this.#isOver = true
    await Promise.all(this.#loops)
  }

  async #run(): Promise<void> {
    while (!this.#isOver) {
      const given = new FailingTask(this.submitted++, BYTES)
      try {
        using task = await this.#flow.process(given, { timeout: MINUTE })
        this.operations = Math.max(this.operations, task.operations)
        if (task.visits.join() !== 'cut,looked' || !isWhole(task))
          this.wrong.push(`task ${task.id}: ${task.visits.join()}`)
      } catch (error) {
        if (OF_DEATHS.has((error as { code?: string }).code)) this.died++
        else this.wrong.push(`task ${given.id}: ${String(error)}`)
      }
    }
  }
}

const running = (flow: Flow<FailingTask>): number =>
  flow.stats().workers.filter(({ state }) => state === 'running').length

describe.each(Object.keys(settings))('workers %s', (name) => {
  const { steps, memory } = settings[name]!

  const flowAt = (points: readonly Failpoints[], logger: Journal): Promise<Flow<FailingTask>> => {
    const [first, second] = steps.map((step, index) => {
      const { execArgv, env } = points[index]!
      return { ...step, execArgv, env }
    }) as [object, object]
    return started(
      new Flow([new FlowStep(Cutter, first), new FlowStep(Looker, second)], { logger, memory }),
    )
  }

  /** Atomic operations of a worker from one batch to the next, at most. */
  async function operationsPerBatch(points: readonly Failpoints[]): Promise<number> {
    await using flow = await flowAt(points, new Journal())
    const load = new Load(flow)
    while (load.submitted < 10 * IN_FLIGHT) await turn()
    await load.end()
    expect(load.wrong).toEqual([])
    return load.operations
  }

  test(
    'die before one atomic operation after another: every other task is handled, once',
    { timeout: 2 * MINUTE + 1000 * failpointSeconds },
    async () => {
      await using first = await Failpoints.create()
      await using second = await Failpoints.create()
      const points = [first, second]
      const operations = await operationsPerBatch(points)
      expect(operations).toBeGreaterThan(50)
      for (const point of points) await point.plan(operations)

      const journal = new Journal()
      await using flow = await flowAt(points, journal)
      const pids = new Set(pidsOf(flow))
      const load = new Load(flow)
      const end = performance.now() + 1000 * failpointSeconds
      let left = Infinity
      for (let seen = 1; (performance.now() < end || seen <= leastDeaths) && left > 0; seen++) {
        await journal.reached('warn', seen)
        for (const pid of pidsOf(flow)) pids.add(pid)
        left = (await first.left()) + (await second.left())
      }
      const untried = (await first.end()) + (await second.end())
      const deaths = 2 * operations - untried
      // Whoever has a failpoint gets there, as long as there is work; then nobody dies any more.
      await journal.reached('warn', deaths)
      await until(() => running(flow) === 4, 'each has its replacement', MINUTE)
      await load.end()

      expect(load.wrong).toEqual([])
      const most = Math.max(
        ...steps.map(({ batchSize = 1, concurrency = 1 }) => batchSize * concurrency),
      )
      expect(load.died).toBeLessThanOrEqual(most * deaths)
      const { tasks, workers, memory: blocks } = flow.stats()
      expect(tasks).toEqual({
        admitted: load.submitted,
        completed: load.submitted - load.died,
        failed: load.died,
        timedOut: 0,
        cancelled: 0,
        pending: 0,
        rejected: 0,
      })
      expect(blocks).toMatchObject({ blocksInUse: 0, bytesInUse: 0 })
      expect(workers.reduce((sum, { restarts }) => sum + restarts, 0)).toBe(deaths)
      expect(journal.count('warn')).toBe(deaths)
      const current = pidsOf(flow)
      expect(survivors([...pids].filter((pid) => !current.includes(pid)))).toEqual([])
      expect(deaths).toBeGreaterThanOrEqual(leastDeaths)
    },
  )
})
