import type { IncomingMessage } from 'node:http'

/** Headers that a proxy adds. Who comes through one may come from anywhere. */
const PROXY_HEADERS = [
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-real-ip',
  'via',
] as const

export const NOT_ALLOWED =
  'The dashboard is open to this machine alone: give it an `authorize` hook to let others in.'

/** Whether an address is one of the machine itself. */
export const isLoopback = (address: string | undefined): boolean =>
  address !== undefined && /^(?:(?:::ffff:)?127(?:\.\d{1,3}){3}|::1|localhost)$/i.test(address)

/**
 * Whether a request comes from this machine and was meant for it: over the loopback interface, by a name that no other
 * site can give itself (an attacker's name may lead to 127.0.0.1), and through no proxy that says so. Proxies that say
 * nothing speak HTTP/1.0, as a rule.
 */
export function isLocal({ socket, headers, httpVersion }: IncomingMessage): boolean {
  const name = (headers.host ?? '').replace(/:\d*$/, '').replace(/^\[(.*)\]$/, '$1')
  return (
    isLoopback(socket.remoteAddress) &&
    (isLoopback(name) || name.endsWith('.localhost')) &&
    httpVersion !== '1.0' &&
    PROXY_HEADERS.every((header) => headers[header] === undefined)
  )
}
