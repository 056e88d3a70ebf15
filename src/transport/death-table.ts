import { constants } from 'node:os'

/** The death of a worker, as the errors of its tasks tell it. */
export interface Death {
  readonly step: number
  readonly pid: number
  readonly code: number | undefined
  readonly signal: string | undefined
  /** Milliseconds that its handler was given, when it was ended for taking longer; Infinity otherwise. */
  readonly handleTimeout: number
}

const RECORD_WORDS = 6
const STEP = 0
const PID = 1
const CODE = 2 // plus one; 0 for none
const SIGNAL = 3 // its number; 0 for none
const HANDLE_TIMEOUT = 4 // float64; 0 for none

/** Deaths remembered for the errors of their tasks; older ones make place. */
const REMEMBERED = 1024

/**
 * The deaths of workers, where every client can read them. The supervisor alone writes: a record is complete before the
 * first task is settled with its number.
 */
export class DeathTable {
  readonly #words: Int32Array
  readonly #doubles: Float64Array
  readonly #start: number
  #count = 0

  static readonly WORDS: number = REMEMBERED * RECORD_WORDS

  constructor(words: Int32Array, start: number) {
    this.#words = words
    this.#doubles = new Float64Array(words.buffer, words.byteOffset, words.length >> 1)
    this.#start = start
  }

  /** Remembers a death; returns the number under which its tasks find it. */
  add({ step, pid, code, signal, handleTimeout }: Death): number {
    const number = this.#count++ % REMEMBERED
    const at = this.#start + number * RECORD_WORDS
    this.#words[at + STEP] = step
    this.#words[at + PID] = pid
    this.#words[at + CODE] = code === undefined ? 0 : code + 1
    this.#words[at + SIGNAL] = signal === undefined ? 0 : signalNumber(signal)
    this.#doubles[(at + HANDLE_TIMEOUT) >> 1] = handleTimeout === Infinity ? 0 : handleTimeout
    return number
  }

  get(number: number): Death {
    const at = this.#start + (number % REMEMBERED) * RECORD_WORDS
    const code = this.#words[at + CODE]!
    const signal = this.#words[at + SIGNAL]!
    return {
      step: this.#words[at + STEP]!,
      pid: this.#words[at + PID]!,
      code: code === 0 ? undefined : code - 1,
      signal: signal === 0 ? undefined : signalName(signal),
      handleTimeout: this.#doubles[(at + HANDLE_TIMEOUT) >> 1]! || Infinity,
    }
  }
}

const signalNumber = (name: string): number =>
  (constants.signals as Readonly<Record<string, number>>)[name] ?? 0

const signalName = (number: number): string | undefined =>
  Object.entries(constants.signals).find(([, value]) => value === number)?.[0]
