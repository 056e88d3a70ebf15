import { isLocal } from '../dashboard/access.ts'
import { Dashboard } from '../dashboard/dashboard.ts'
import { type Command, numberOf, readArguments } from './command.ts'
import { checkLocal, listen, pathOf, untilSignal } from './http.ts'
import { targetOf } from './target.ts'

export const dashboard: Command = {
  help: `Usage: aqueduct dashboard [<address>|<pid>] [options]

Attaches to a flow of this user that has an \`address\`, and serves a live page of it on this machine. Without an
argument it takes the only flow that there is. The flow's own memory is not touched.

  --port <port>   where to listen; 0 takes a free one (default 8090)
  --host <host>   an address of this machine itself (default 127.0.0.1)
`,
  async run(args) {
    const given = readArguments(
      args,
      { port: { type: 'string' }, host: { type: 'string' } },
      { most: 1 },
    )
    const host = given.text('host') ?? '127.0.0.1'
    checkLocal(host)
    const port = numberOf(given, 'port', 8090, { least: 0, most: 65_535 })
    const page = new Dashboard(targetOf(given.positionals[0]))
    const { server, url } = await listen(
      (request, response) => {
        if (!isLocal(request)) response.writeHead(403).end('Open to this machine alone.\n')
        else if (!page.respond(pathOf(request).slice(1), request, response))
          response.writeHead(404).end('There is no such page.\n')
      },
      host,
      port,
    )
    process.stdout.write(`Dashboard: ${url}/\nCtrl-C stops it; the flow goes on.\n`)
    await untilSignal()
    page.close()
    server.close()
    server.closeAllConnections()
    return 0
  },
}
