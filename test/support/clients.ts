import { readFileSync } from 'node:fs'
import { FlowClient, type FlowState } from '../../src/index.ts'
import { PictureTask } from '../fixtures/pictures.ts'
import { Program } from './flow-program.ts'

let addresses = 0
/** A name for a flow that no other test uses. */
export const newAddress = (): string => `test-${process.pid}-${addresses++}`

const nothing = (): void => undefined
export const silent = { debug: nothing, info: nothing, warn: nothing, error: nothing }

/** A client in this process, not started. */
export const clientOf = (address: string): FlowClient<PictureTask> =>
  new FlowClient({ address, task: PictureTask, logger: silent })

/** The same client, started. */
export async function attachedTo(address: string): Promise<FlowClient<PictureTask>> {
  const client = clientOf(address)
  await client.start({ timeout: 20_000 })
  return client
}

/** A program that is attached to the flow at the address. */
export async function programAt(address: string): Promise<Program> {
  const program = new Program('client.ts', address)
  await said(program, { state: 'running' })
  return program
}

/** Waits until a program says this; whatever it says before is passed over. */
export async function said(program: Program, expected: object): Promise<object> {
  for (;;) {
    const message = await program.message<object>()
    if (Object.entries(expected).every(([key, value]) => Reflect.get(message, key) === value))
      return message
  }
}

/** Resolves once the client enters the state. */
export function enters(client: FlowClient<PictureTask>, state: FlowState): Promise<void> {
  return new Promise((resolve) => {
    if (client.state === state) resolve()
    const look = (entered: FlowState): void => {
      if (entered !== state) return
      client.off('state', look)
      resolve()
    }
    client.on('state', look)
  })
}

/** How many connections there are to the flow at an address. */
export const connectionsTo = (address: string): number =>
  readFileSync('/proc/net/unix', 'utf8')
    .split('\n')
    .filter((line) => line.endsWith(` ${nameInProc(address)}`) && !isListening(line)).length

const nameInProc = (address: string): string => `@aqueduct-ts/${process.getuid!()}/${address}`

/** The flags of a socket that listens. */
const isListening = (line: string): boolean => line.split(/\s+/)[3] === '00010000'
