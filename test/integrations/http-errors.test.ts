import { expect, test } from 'vitest'
import {
  AqueductError,
  BodyError,
  CodecError,
  FlowStoppedError,
  HandlerError,
  InvalidTaskError,
  NotRunningError,
  OutOfMemoryError,
  PayloadTooLargeError,
  QueueFullError,
  StartError,
  TaskCancelledError,
  TaskTimeoutError,
  WorkerDiedError,
} from '../../src/index.ts'
import { toHttpError } from '../../src/integrations/http.ts'

/** As Fastify, Express and http-errors make them. */
const marked = (message: string, marks: object): Error => Object.assign(new Error(message), marks)

test.each([
  [new QueueFullError(4711), 503, 'AQ_QUEUE_FULL'],
  [new OutOfMemoryError(), 503, 'AQ_OUT_OF_MEMORY'],
  [new NotRunningError('starting'), 503, 'AQ_NOT_RUNNING'],
  [new FlowStoppedError(), 503, 'AQ_STOPPED'],
  [new StartError('secret'), 503, 'AQ_START_FAILED'],
  [new StartError('secret', { code: 'AQ_START_TIMEOUT' }), 503, 'AQ_START_TIMEOUT'],
  [new TaskTimeoutError(4711), 504, 'AQ_TIMEOUT'],
  [new PayloadTooLargeError(4711, 42), 413, 'AQ_PAYLOAD_TOO_LARGE'],
  [new TaskCancelledError('secret'), 499, 'AQ_CANCELLED'],
  [new BodyError('AQ_BODY_SHORT', 'secret', { bytesReceived: 42, size: 42 }), 400, 'AQ_BODY_SHORT'],
  [new BodyError('AQ_BODY_LONG', 'secret', { bytesReceived: 42, size: 42 }), 400, 'AQ_BODY_LONG'],
  [
    new BodyError('AQ_BODY_ABORTED', 'secret', { bytesReceived: 42, size: 42 }),
    499,
    'AQ_BODY_ABORTED',
  ],
  [new HandlerError('Decode', new Error('secret')), 500, 'INTERNAL'],
  [new WorkerDiedError('secret', 42, 1, undefined), 500, 'INTERNAL'],
  [new CodecError('AQ_UNSERIALIZABLE', 'secret', 'task.secret'), 500, 'INTERNAL'],
  [new InvalidTaskError('secret'), 500, 'INTERNAL'],
  [new AqueductError('AQ_OF_TOMORROW' as 'AQ_TIMEOUT', 'secret'), 500, 'INTERNAL'],
  [new Error('secret'), 500, 'INTERNAL'],
  [marked('secret', { statusCode: 503 }), 500, 'INTERNAL'],
  [marked('secret', { statusCode: 302 }), 500, 'INTERNAL'],
  [marked('secret', { statusCode: '404' }), 500, 'INTERNAL'],
  [marked('secret', { status: 401 }), 500, 'INTERNAL'],
  ['secret', 500, 'INTERNAL'],
  [undefined, 500, 'INTERNAL'],
])('%s: status, code, and no internals', (error, status, code) => {
  const answer = toHttpError(error)
  expect(answer).toMatchObject({ status, code })
  expect(JSON.stringify(answer)).not.toMatch(/secret|42|4711/)
})

test('who is refused with 503 learns when to come again', () => {
  for (const error of [new QueueFullError(1), new NotRunningError('created')])
    expect(Number(toHttpError(error).headers['retry-after'])).toBeGreaterThan(0)
  const seconds = [1, 999, 1_000, 1_001, 61_000].map(
    (retryAfter) => toHttpError(new QueueFullError(1, { retryAfter })).headers['retry-after'],
  )
  expect(seconds).toEqual(['1', '1', '1', '2', '61'])
  expect(toHttpError(new TaskTimeoutError(1)).headers).toEqual({})
})

test('what an application or its framework refuses keeps its status, code, words and headers', () => {
  const bodyTooLarge = marked('too long', { statusCode: 413, code: 'FST_ERR_CTP_BODY_TOO_LARGE' })
  expect(toHttpError(bodyTooLarge)).toEqual({
    status: 413,
    code: 'FST_ERR_CTP_BODY_TOO_LARGE',
    message: 'too long',
    headers: {},
  })
  const overQuota = marked('10 a minute', { statusCode: 429, headers: { 'Retry-After': 30 } })
  expect(toHttpError(overQuota)).toEqual({
    status: 429,
    code: 'TOO_MANY_REQUESTS',
    message: '10 a minute',
    headers: { 'Retry-After': '30' },
  })
})

test('an error that says it is not to be shown gives no more than its status', () => {
  expect(toHttpError(marked('secret', { statusCode: 404, expose: false }))).toEqual({
    status: 404,
    code: 'NOT_FOUND',
    message: 'Not Found',
    headers: {},
  })
})
