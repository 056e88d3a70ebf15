import { HandlerError, QueueFullError, TaskTimeoutError, WorkerDiedError } from 'aqueduct-ts'
import { expect, test } from 'vitest'
import { toHttpError } from '../../examples/digits/http-errors.ts'

test.each([
  [new HandlerError('Decode', new Error('secret')), 500],
  [new WorkerDiedError('secret', 42, 1, undefined), 500],
  [new Error('secret'), 500],
  ['secret', 500],
  [Object.assign(new Error('secret'), { statusCode: 503 }), 500],
  [new QueueFullError(4711), 503],
  [new TaskTimeoutError(4711), 504],
])('%s: no internals in the answer', (error, status) => {
  const answer = toHttpError(error)
  expect(answer.status).toBe(status)
  expect(JSON.stringify(answer)).not.toMatch(/secret|42|4711/)
})

test('what Fastify refuses keeps its status and its words', () => {
  const error = Object.assign(new Error('too long'), { statusCode: 413, code: 'FST_X' })
  expect(toHttpError(error)).toEqual({ status: 413, code: 'FST_X', message: 'too long' })
})
