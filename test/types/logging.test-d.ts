// What must compile, and what must not: `tsc` is the test.
import * as Sentry from '@sentry/node'
import { pino } from 'pino'
import type { FlowLogger, WorkerLogger } from '../../src/index.ts'
import { withSentry } from '../../src/integrations/sentry.ts'

declare const logger: WorkerLogger

// Whatever has pino's methods is a flow's logger; so is what a handler logs with.
const loggers: FlowLogger[] = [
  console,
  pino(),
  pino().child({ service: 'scan' }),
  logger,
  withSentry(Sentry, pino()),
]
void loggers
// @ts-expect-error a method is missing
const silent: FlowLogger = { info: console.info, warn: console.warn, error: console.error }
void silent

// A handler gives data and a message, either alone, or an error.
logger.info({ page: 1 }, 'scanned')
logger.info('scanned')
logger.info({ page: 1 })
logger.error(new Error('no paper'))
logger.error({ err: new Error('no paper') }, 'cannot scan')
// @ts-expect-error the message comes last
logger.info('scanned', { page: 1 })
// @ts-expect-error no other levels
logger.fatal('on fire')
