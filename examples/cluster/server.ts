/**
 * A web tier of several processes under node:cluster, and one flow for all of them: the primary runs the flow, each
 * worker of the cluster is a client of it, and there is one copy of the model.
 *
 *     npm run build && npx node examples/cluster/server.ts
 *     curl http://127.0.0.1:8080/sum -H 'content-type: application/json' -d '{"number":10}'
 *
 * A web worker that dies is replaced; what it had pending is cancelled, and nobody else notices. `PORT` chooses another
 * port, `WEB` the number of web workers.
 */
import cluster from 'node:cluster'

// Each side in a module of its own: a web worker loads no flow, the primary no web framework.
await import(cluster.isPrimary ? './primary.ts' : './web.ts')
