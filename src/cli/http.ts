import { once } from 'node:events'
import { type IncomingMessage, type RequestListener, type Server, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { isLoopback } from '../dashboard/access.ts'
import { CommandError, UsageError } from './command.ts'

/** Listens, or says why it cannot in words. */
export async function listen(
  handle: RequestListener,
  host: string,
  port: number,
): Promise<{ server: Server; url: string }> {
  const server = createServer(handle)
  try {
    server.listen(port, host)
    await once(server, 'listening')
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    throw new CommandError(
      code === 'EADDRINUSE'
        ? `port ${port} of ${host} is taken; choose another one with --port`
        : `cannot listen at ${host}:${port}: ${message}`,
    )
  }
  const { port: given } = server.address() as AddressInfo
  return { server, url: `http://${host.includes(':') ? `[${host}]` : host}:${given}` }
}

/** What a request asks for, without its query. Nothing that can be sent makes this throw, as it would `new URL()`. */
export const pathOf = ({ url = '/' }: IncomingMessage): string => url.split('?', 1)[0]!

/** @throws UsageError for a host at which others could reach what only this machine may see. */
export function checkLocal(host: string): void {
  if (isLoopback(host)) return
  throw new UsageError(
    `the dashboard has no authentication here, so it does not listen at ${host}: use 127.0.0.1 and a tunnel (ssh -L), or register it in an application with an \`authorize\` hook`,
  )
}

/** Resolves at the first SIGINT or SIGTERM; a second one ends the program at once. */
export const untilSignal = (): Promise<void> =>
  new Promise((resolve) => {
    let isSecond = false
    const onSignal = (): void => {
      if (isSecond) process.exit(1)
      isSecond = true
      resolve()
    }
    process.on('SIGINT', onSignal)
    process.on('SIGTERM', onSignal)
  })
