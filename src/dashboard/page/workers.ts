import { byId, h, replace, table } from './dom.ts'
import { bytes, count, duration, integer } from './format.ts'
import type { Model } from './model.ts'

export function drawWorkers({ view }: Model): void {
  const rows = view.stats.workers.map((worker, index) => ({
    ...worker,
    inHand: view.inHand[index] ?? { tasks: 0, oldestMs: 0 },
  }))
  replace(
    byId('workers'),
    table(
      'Workers',
      [
        { title: 'Worker', cell: ({ step, index }) => `${step} ${index}` },
        {
          title: 'State',
          cell: ({ state }) => h('span', { class: 'state', 'data-state': state }, state),
        },
        { title: 'Pid', isNumber: true, cell: ({ pid }) => (pid > 0 ? String(pid) : '–') },
        {
          title: 'In hand',
          cell: ({ inHand: { tasks, oldestMs } }) =>
            tasks > 0 ? `${count(tasks, 'task')}, ${duration(oldestMs)} old` : 'nothing',
        },
        { title: 'Restarts', isNumber: true, cell: ({ restarts }) => integer(restarts) },
        {
          title: 'Memory',
          isNumber: true,
          cell: ({ rssAnonBytes }) => (rssAnonBytes > 0 ? bytes(rssAnonBytes) : '–'),
        },
      ],
      rows,
    ),
  )
}
