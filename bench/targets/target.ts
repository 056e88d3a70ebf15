import type { Call } from '../harness/closed-loop.ts'

/** A way of having the sum task done elsewhere, started and ready. */
export interface Target {
  readonly name: string
  /** What its rows say of how it was set up. */
  readonly parameters: Readonly<Record<string, unknown>>
  readonly call: Call
  close(): Promise<void>
}
