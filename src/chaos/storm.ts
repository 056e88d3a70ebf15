import { setTimeout as delay } from 'node:timers/promises'
import { type Scene, attempt, keepCalling } from './attempt.ts'
import { Guests } from './guests.ts'
import { harmfulPlan, stormPlan } from './plans.ts'
import { type Randomness, integerOf, momentsOf } from './random.ts'
import type { Harm } from './service.ts'
import type { Victims } from './victims.ts'

export interface StormSettings {
  readonly randomness: Randomness
  readonly inFlight: number
  /** Milliseconds. */
  readonly duration: number
  /** Seconds for which it goes on when it has not killed all that it was to: workers may take long to start. */
  readonly grace: number
  readonly kills: number
  /** Guests killed, where the service has any. */
  readonly guestKills: number
  /** Tasks that end their worker. */
  readonly deadly: number
  /** Tasks that never return. */
  readonly hanging: number
}

/** What a storm has done, as it goes on. */
export interface StormCounts {
  kills: number
  guestKills: number
  deadly: number
  hanging: number
}

/** Milliseconds until a killer without a victim tries again. */
const AGAIN = 10
/** Share of the storm in which tasks hang, so that each is found out within it. */
const HANGING_UNTIL = 0.8

/** Share of the storm after which there are guests: until then the flow's books are those of its callers here alone. */
const GUESTS_FROM = 0.6

/** Loads a flow and does it harm for a while, at moments that the seed decides. Ends when every caller has an outcome. */
export async function rage(
  scene: Scene,
  victims: Victims,
  settings: StormSettings,
  counts: StormCounts,
  signal: AbortSignal,
): Promise<void> {
  const { randomness, inFlight, duration, grace, kills, guestKills, deadly, hanging } = settings
  const start = performance.now()
  const isOver = (): boolean => {
    const elapsed = performance.now() - start
    const isDue = elapsed >= duration && counts.kills >= kills
    return isDue || elapsed >= duration + grace * 1000 || signal.aborted
  }
  const until = (moment: number): Promise<void> =>
    delay(Math.max(0, start + moment - performance.now()), undefined, { signal }).catch(
      () => undefined,
    )

  const taskNumbers = randomness.stream('storm')
  const nextPlan = () => stormPlan(scene.service, taskNumbers)
  const callers = Array.from({ length: inFlight }, () => keepCalling(scene, nextPlan, isOver))

  const killNumbers = randomness.stream('kills')
  const killMoments = momentsOf(killNumbers, kills, duration)
  const killer = async (): Promise<void> => {
    for (const moment of killMoments) {
      await until(moment)
      while (!victims.killOne(killNumbers)) {
        if (isOver()) return
        await until(performance.now() - start + AGAIN)
      }
      counts.kills++
    }
  }

  const guestNumbers = randomness.stream('guests')
  const guestsFrom = duration * GUESTS_FROM
  const guestMoments = momentsOf(guestNumbers, guestKills, duration - guestsFrom)
  const host = async (): Promise<void> => {
    const { service, flow, ledger } = scene
    const startGuest = service.startGuest?.bind(service, flow)
    if (startGuest === undefined || guestKills === 0) return
    await until(guestsFrom)
    if (signal.aborted) return
    ledger.hasOthers = true
    const guests = new Guests(() => startGuest(integerOf(guestNumbers, 0, 2 ** 31)), ledger)
    try {
      for (const moment of guestMoments) {
        await until(guestsFrom + moment)
        if (signal.aborted) return
        await guests.killOne()
        counts.guestKills++
      }
      await until(duration)
      await guests.finish(grace * 1000)
    } finally {
      await guests.end()
    }
  }

  const harmNumbers = randomness.stream('harms')
  const harms: (readonly [number, Harm])[] = [
    ...momentsOf(harmNumbers, deadly, duration).map((moment) => [moment, 'die'] as const),
    ...momentsOf(harmNumbers, hanging, duration * HANGING_UNTIL).map(
      (moment) => [moment, 'hang'] as const,
    ),
  ]
  const harmed = harms
    .toSorted(([a], [b]) => a - b)
    .map(async ([moment, harm]) => {
      const plan = harmfulPlan(scene.service, harm, harmNumbers)
      await until(moment)
      if (plan === undefined || signal.aborted) return
      counts[harm === 'die' ? 'deadly' : 'hanging']++
      await attempt(scene, plan)
    })
  await Promise.all([...callers, killer(), host(), ...harmed])
}
