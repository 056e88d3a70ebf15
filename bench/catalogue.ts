import type { Settings, Workload } from './harness/report.ts'
import { batching } from './workloads/batching.ts'
import { cluster } from './workloads/cluster.ts'
import { dashboard } from './workloads/dashboard.ts'
import { dispatch } from './workloads/dispatch.ts'
import { idle } from './workloads/idle.ts'
import { life } from './workloads/life.ts'
import { memory } from './workloads/memory.ts'
import { overload } from './workloads/overload.ts'
import { payload } from './workloads/payload.ts'
import { growth } from './workloads/growth.ts'
import { roundTrip } from './workloads/roundtrip.ts'
import { service } from './workloads/service.ts'
import { soak } from './workloads/soak.ts'
import { start } from './workloads/start.ts'
import { steps } from './workloads/steps.ts'
import { upload } from './workloads/upload.ts'

/** What applies where neither the workload nor the command line says otherwise. */
export const defaults: Settings = {
  pairs: 7,
  seconds: 1,
  tasks: 20_000,
  minutes: 10,
  quick: false,
}

/** Of a quick run: everything once, and as shortly as it can be. */
export const quickSettings: Partial<Settings> = {
  pairs: 1,
  seconds: 0.1,
  tasks: 300,
  minutes: 0.05,
  quick: true,
}

/** All workloads, in the order in which a full run takes them. */
export const workloads: Readonly<Record<string, Workload>> = {
  dispatch,
  roundtrip: roundTrip,
  life,
  steps,
  payload,
  batching,
  service,
  growth,
  start,
  idle,
  memory,
  cluster,
  overload: {
    about: 'answers in time at four times the capacity, against a pool without bounds',
    explained:
      'One worker that needs 10 ms for a task is sent four times as many as it can do, each with a deadline of half a second. What counts is how many answers still come in time: a queue that takes everything answers everybody too late.',
    takes: '3 min',
    defaults: { seconds: 6 },
    quick: { seconds: 1 },
    run: overload,
  },
  soak: {
    about: 'bodies of mixed sizes in an arena that is hardly large enough: waits, refusals, wedges',
    explained:
      'Bodies of 1 KiB to 4 MiB go through three steps at 90 % of what they can do, in shared memory that is hardly larger than the largest task. Nothing may be left or stuck, and nobody may starve.',
    takes: '5 min',
    defaults: { seconds: 300 },
    quick: { seconds: 4 },
    run: soak,
  },
  dashboard: {
    about: 'what a task costs while two browsers watch the dashboard, and without one',
    explained:
      'Two flows of one step with 64 tasks in flight, measured in turns: one has a dashboard that two programs watch, the other has none. The ratio is what being watched costs a task.',
    takes: '2 min',
    defaults: { seconds: 3 },
    run: dashboard,
  },
  upload,
}
