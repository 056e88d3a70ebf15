// npm run chaos -- [options]: a storm over a service, see docs/reliability.md.
import { chaosCommand } from 'aqueduct-ts/chaos'

process.exitCode = await chaosCommand(process.argv.slice(2))
