export interface LifeOrder {
  readonly seconds: number
  readonly pauseMs: number
}

/** Medians of where the time of a task goes, in microseconds. */
export interface Stages {
  /** The caller's `process()`: fields into a slot, the slot into a queue, the worker rung where it sleeps. */
  readonly submitUs: number
  /** Until the handler has it: the worker wakes, claims the task, makes an object of its fields. */
  readonly thereUs: number
  readonly handleUs: number
  /** Until the caller has it: results into the slot, the caller wakes, reads them and goes on. */
  readonly backUs: number
  readonly totalUs: number
}
