import { FlowObserver, InvalidOptionError, findFlows } from '../index.ts'
import { CommandError, UsageError } from './command.ts'

/** Which flow is meant: by its address, by the pid of its process, or the only one that there is. */
export function targetOf(named: string | undefined): FlowObserver {
  if (named === undefined) {
    const flows = findFlows()
    const [only, ...others] = flows
    if (only === undefined) {
      throw new CommandError(
        "no flow with an address is running under this user; give yours one: new Flow(steps, { address: 'name' })",
      )
    }
    if (others.length === 0) return new FlowObserver({ address: only.address })
    const list = flows.map(({ address, pid }) => `  ${address}  (pid ${pid})`).join('\n')
    throw new UsageError(`which flow? There are\n${list}`)
  }
  if (!/^\d+$/.test(named)) return byAddress(named)
  const pid = Number(named)
  const own = findFlows(pid)
  if (own.length > 1) {
    const list = own.map(({ address }) => `  ${address}`).join('\n')
    throw new UsageError(`process ${pid} runs several flows:\n${list}`)
  }
  if (own.length === 1) return new FlowObserver({ pid })
  // An address may be a number, too.
  if (findFlows().some(({ address }) => address === named)) return byAddress(named)
  throw new CommandError(
    `process ${pid} runs no flow with an address under this user; give it one: new Flow(steps, { address: 'name' })`,
  )
}

function byAddress(address: string): FlowObserver {
  try {
    return new FlowObserver({ address })
  } catch (error) {
    if (error instanceof InvalidOptionError) throw new UsageError(error.message)
    throw error
  }
}
