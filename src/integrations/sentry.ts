import type * as SentryNode from '@sentry/node'
import type { FlowLogger } from '../index.ts'

/** What is used of `@sentry/node`: the module itself fits. */
export type Sentry = Pick<typeof SentryNode, 'addBreadcrumb' | 'captureException'>

/** Which worker a record is about, as tags. */
const TAGS = ['step', 'handler', 'worker', 'pid', 'code', 'signal'] as const

/**
 * A flow's logger that tells Sentry too. Each warning or error with an error in its data (`err`) becomes an event: what
 * a handler has thrown, a worker's death, and what handlers log with `context.logger.error({ err }, …)`. Its exceptions
 * are the error and its causes with the worker's stack, its tags `step`, `handler`, `worker` and `pid` (and `code` or
 * `signal` of a death); message and data are its context `aqueduct`. All other records but those of level `debug`
 * become breadcrumbs. The workers need no Sentry of their own.
 *
 * @param sentry - the module `@sentry/node`, initialised by the program.
 * @param logger - gets every record as it would without Sentry.
 *
 * @example
 * ```ts
 * import * as Sentry from '@sentry/node'
 * import { Flow } from 'aqueduct-ts'
 * import { withSentry } from 'aqueduct-ts/sentry'
 * import { pino } from 'pino'
 * import { SumHandler } from './sum.ts'
 *
 * Sentry.init({}) // the address of the project is in SENTRY_DSN
 * export const flow = new Flow([SumHandler], { logger: withSentry(Sentry, pino()) })
 * ```
 */
export function withSentry(sentry: Sentry, logger: FlowLogger): FlowLogger {
  const observe = (level: 'info' | 'warning' | 'error', data: object, message: string): void => {
    const { err, ...rest } = data as Readonly<Record<string, unknown>>
    if (level === 'info' || !(err instanceof Error)) {
      sentry.addBreadcrumb({ category: 'aqueduct', level, message, data })
      return
    }
    sentry.captureException(err, {
      mechanism: { type: 'aqueduct', handled: true },
      captureContext: { level, tags: tagsOf(rest), contexts: { aqueduct: { message, ...rest } } },
    })
  }
  return {
    debug: (data, message) => logger.debug(data, message),
    info: (data, message) => {
      logger.info(data, message)
      observe('info', data, message)
    },
    warn: (data, message) => {
      logger.warn(data, message)
      observe('warning', data, message)
    },
    error: (data, message) => {
      logger.error(data, message)
      observe('error', data, message)
    },
  }
}

function tagsOf(data: Readonly<Record<string, unknown>>): Record<string, string | number> {
  const tags: Record<string, string | number> = {}
  for (const name of TAGS) {
    const value = data[name]
    if (typeof value === 'string' || typeof value === 'number') tags[name] = value
  }
  return tags
}
