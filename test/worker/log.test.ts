import { expect, test } from 'vitest'
import type { WorkerMessage } from '../../src/transport/protocol.ts'
import { decodeReport } from '../../src/transport/reports.ts'
import { WorkerLog } from '../../src/worker/log.ts'

/** A worker's log with a clock and a channel that the test holds. */
class LogBook {
  readonly log: WorkerLog
  readonly records: { level: string; message: string; data: object }[] = []
  now = 0
  /** Whether the parent reads what it is sent. */
  isRead = true
  #unread: (() => void)[] = []

  constructor() {
    this.log = new WorkerLog(
      { step: 'scan', handler: 'ScanHandler', worker: 2 },
      (message, onSent) => this.#send(message, onSent),
      () => this.now,
    )
  }

  count(level: string): number {
    return this.records.filter((record) => record.level === level).length
  }

  read(): void {
    this.isRead = true
    for (const sent of this.#unread.splice(0)) sent()
  }

  #send(message: WorkerMessage, onSent?: () => void): boolean {
    if (message.type !== 'log') throw new Error(`a ${message.type}, where a record was expected`)
    const { level, message: text, data } = message
    this.records.push({ level, message: text, data: decodeReport(data) })
    if (onSent !== undefined) this.#unread.push(onSent)
    return this.isRead
  }
}

const times = (count: number, act: () => void): void => {
  for (let n = 0; n < count; n++) act()
}

test('a burst of 1,000 records, then 100 a second', () => {
  const book = new LogBook()
  const { logger } = book.log
  times(1_200, () => logger.info('chatter'))
  expect(book.count('info')).toBe(1_000)
  book.now = 500
  times(1_200, () => logger.debug('chatter'))
  expect(book.count('debug')).toBe(50)
  book.now = 3_600_000
  times(1_200, () => logger.info('chatter'))
  expect(book.count('info')).toBe(2_000)
})

test('chatter and failed tasks do not use up what warnings and errors may', () => {
  const book = new LogBook()
  times(2_000, () => book.log.logger.info('chatter'))
  times(2_000, () => book.log.taskFailed(new Error('bad'), 1))
  expect(book.count('error')).toBe(100)
  times(2_000, () => book.log.logger.warn('trouble'))
  expect(book.count('warn')).toBe(1_000)
})

test('what was suppressed is told once', () => {
  const book = new LogBook()
  times(1_007, () => book.log.logger.info('chatter'))
  book.log.tellSuppressed()
  book.log.tellSuppressed()
  expect(book.records.slice(1_000)).toEqual([
    {
      level: 'warn',
      data: { suppressed: 7 },
      message: expect.stringContaining('7 records of worker 2 of step scan were suppressed'),
    },
  ])
})

test('a parent that does not keep up gets no chatter, and a limited number of warnings and errors', () => {
  const book = new LogBook()
  const { logger } = book.log
  book.isRead = false
  times(50, () => logger.info('chatter'))
  expect(book.count('info')).toBe(1)
  times(500, () => logger.error('trouble'))
  expect(book.count('error')).toBe(99)
  book.log.tellSuppressed()
  expect(book.count('warn')).toBe(0)
  book.read()
  logger.info('chatter')
  expect(book.count('info')).toBe(2)
  book.log.tellSuppressed()
  expect(book.records.at(-1)).toMatchObject({ level: 'warn', data: { suppressed: 49 + 401 } })
  book.isRead = false
  times(500, () => logger.error('trouble'))
  expect(book.count('error')).toBe(99 + 100)
})

test.each<[string, unknown, string]>([
  ['nothing', undefined, 'undefined'],
  ['a text', 'broken', 'broken'],
  ['an object without a prototype', Object.create(null), '{}'],
  ['an object', { status: 400 }, '{ status: 400 }'],
  ['a function', () => undefined, '[function]'],
  [
    'an error that cannot be looked at',
    Object.defineProperty(new Error(''), 'message', {
      get: () => {
        throw new Error('no')
      },
    }),
    '[unreadable]',
  ],
])('whatever a handler throws is logged as an error (%s)', (_, thrown, message) => {
  const book = new LogBook()
  book.log.taskFailed(thrown, 3)
  expect(book.records).toMatchObject([
    {
      level: 'error',
      message: `step scan failed 3 tasks: ${message}`,
      data: { err: { message, stack: expect.any(String) }, tasks: 3 },
    },
  ])
})

test.each<[string, unknown, unknown]>([
  ['no data', undefined, 'text'],
  ['null', null, 'text'],
  ['a number', 5, 'text'],
  ['an array', [1, 2], 'text'],
  ['no message', { a: 1 }, undefined],
  ['a message that is none', { a: 1 }, { toString: 5 }],
  ['a symbol', Symbol('data'), Symbol('message')],
])('a program without types cannot make it throw (%s)', (_, data, message) => {
  const book = new LogBook()
  const info = book.log.logger.info as (data: unknown, message: unknown) => void
  expect(() => info(data, message)).not.toThrow()
})

test('its methods work without their object', () => {
  const book = new LogBook()
  const { warn } = book.log.logger
  warn({ page: 3 }, 'smudged')
  expect(book.records).toEqual([{ level: 'warn', data: { page: 3 }, message: 'smudged' }])
})
