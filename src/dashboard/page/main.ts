import type { FlowSample } from 'aqueduct-ts'
import { drawBatches, drawQueues } from './queues.ts'
import { drawCharts } from './charts.ts'
import { byId, setText } from './dom.ts'
import { drawEvents, drawProblems } from './happened.ts'
import { drawHeader, drawVerdict } from './header.ts'
import { drawMemory } from './memory.ts'
import { type Model, append } from './model.ts'
import { drawPipeline } from './pipeline.ts'
import { drawSlowTasks, drawTotals } from './tasks.ts'
import { drawTiles } from './tiles.ts'
import { drawWorkers } from './workers.ts'

type Sampled = Pick<Model, 'view' | 'verdict'> & { readonly sample: FlowSample }
type Lists = Pick<Model, 'slowTasks' | 'problems' | 'events'>

const drawers: readonly ((model: Model) => void)[] = [
  drawHeader,
  drawVerdict,
  drawTiles,
  drawPipeline,
  drawCharts,
  drawQueues,
  drawBatches,
  drawWorkers,
  drawMemory,
  drawTotals,
  drawSlowTasks,
  drawProblems,
  drawEvents,
]

const connection = byId('connection')
const pause = byId('pause')
let samples: FlowSample[] = []
let lists: Lists = { slowTasks: [], problems: [], events: [] }
let model: Model | undefined
let isPaused = false

/** How fresh the page is: what is old never looks as if it were live. */
function say(state: 'live' | 'paused' | 'lost', words: string): void {
  document.body.dataset['connection'] = state
  setText(connection, words)
}

function draw(): void {
  if (model === undefined || isPaused) return
  for (const drawer of drawers) drawer(model)
  say('live', 'Live')
}

/** What an event of the stream brings; its name says what that is. */
const read = (event: Event): unknown => JSON.parse((event as MessageEvent<string>).data)

const source = new EventSource('events')
source.addEventListener('history', (event) => {
  samples = []
  for (const sample of read(event) as FlowSample[]) append(samples, sample)
})
source.addEventListener('lists', (event) => {
  lists = read(event) as Lists
})
source.addEventListener('sample', (event) => {
  const { sample, view, verdict } = read(event) as Sampled
  // The last of the history comes again with its view.
  if (samples.at(-1)?.at !== sample.at) append(samples, sample)
  model = { samples, view, verdict, ...lists }
  draw()
})
source.addEventListener('lost', (event) => {
  const { why } = read(event) as { readonly why: string }
  say('lost', `The flow is out of sight: ${why}. Waiting for it …`)
})
source.addEventListener('error', () => {
  say('lost', 'The connection is lost. Trying again …')
})

pause.addEventListener('click', () => {
  isPaused = !isPaused
  pause.setAttribute('aria-pressed', String(isPaused))
  setText(pause, isPaused ? 'Go on' : 'Pause')
  if (isPaused) say('paused', 'Paused')
  else draw()
})

// What is as wide as the window says is drawn anew.
let resized = 0
addEventListener('resize', () => {
  cancelAnimationFrame(resized)
  resized = requestAnimationFrame(draw)
})
