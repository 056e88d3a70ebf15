import { subscribe, tracingChannel, unsubscribe } from 'node:diagnostics_channel'
import type { DiagnosticsMessages } from '../../src/index.ts'

type Name = keyof DiagnosticsMessages
type Published = readonly [name: string, message: Readonly<Record<string, unknown>>]

/** Notes what is published of one flow on some channels, in order. Closed, it listens no more. */
export class Listener implements Disposable {
  readonly all: Published[] = []
  readonly #leave: (() => void)[] = []

  /** @param flow - messages of others are left out; without it there are those of all. */
  constructor(names: readonly Name[], flow?: object) {
    for (const name of names) {
      const note = (message: unknown): void => {
        const { flow: of, ...rest } = message as { readonly flow: object }
        if (flow === undefined || of === flow) this.all.push([name, rest])
      }
      subscribe(name, note)
      this.#leave.push(() => unsubscribe(name, note))
    }
  }

  of(name: Name): Readonly<Record<string, unknown>>[] {
    return this.all.flatMap(([of, message]) => (of === name ? [message] : []))
  }

  [Symbol.dispose](): void {
    for (const leave of this.#leave) leave()
  }
}

/** Notes what is published on a tracing channel: the event, and the same message each time. */
export function listenToTraces(
  name: string,
): { readonly events: [event: string, trace: Readonly<Record<string, unknown>>][] } & Disposable {
  const events: [string, Readonly<Record<string, unknown>>][] = []
  const note =
    (event: string) =>
    (trace: unknown): void => {
      events.push([event, trace as Readonly<Record<string, unknown>>])
    }
  const subscribers = {
    start: note('start'),
    end: note('end'),
    asyncStart: note('asyncStart'),
    asyncEnd: note('asyncEnd'),
    error: note('error'),
  }
  const channel = tracingChannel(name)
  channel.subscribe(subscribers)
  return { events, [Symbol.dispose]: () => channel.unsubscribe(subscribers) }
}
