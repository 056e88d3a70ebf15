// Who may import whom: an import only ever points down.
import type { IForbiddenRuleType } from 'dependency-cruiser'

// The rooms of src/, from the ground up, and what each may import beside itself.
const rooms: Readonly<Record<string, readonly string[]>> = {
  errors: [],
  options: ['errors'],
  memory: ['errors'],
  metrics: ['errors'],
  transport: ['errors', 'memory', 'metrics'],
  worker: ['errors', 'memory', 'metrics', 'transport'],
  client: ['errors', 'memory', 'metrics', 'transport'],
  runtime: ['errors', 'memory', 'metrics', 'transport'],
  user: ['errors', 'options', 'memory', 'metrics', 'transport', 'worker', 'client', 'runtime'],
  index: ['user', 'errors', 'metrics', 'worker'],
  integrations: ['index', 'options'],
  chaos: ['index', 'options'],
  cli: ['index', 'chaos', 'dashboard', 'page', 'integrations'],
  dashboard: ['index', 'options'],
  // Runs in a browser: it knows the library by its types, and by the library's name.
  page: [],
}

// A room is the folder of its name, but for these.
const files = new Map([
  ['errors', '^src/errors[.]ts$'],
  ['options', '^src/options[.]ts$'],
  [
    'user',
    '^src/(watch/[a-z-]+|diagnostics|flow|flow-client|flow-health|flow-log|flow-metrics|flow-run|flow-options|process-task|running-flows|share-from|step|task|task-classes|handler|stats|task-counts|platform|defaults)[.]ts$',
  ],
  ['index', '^src/index[.]ts$'],
  ['dashboard', '^src/dashboard/[a-z-]+[.]ts$'],
  ['page', '^src/dashboard/page/'],
])

const filesOf = (room: string): string => files.get(room) ?? `^src/${room}/`

const directions = Object.entries(rooms).map(([room, below]): IForbiddenRuleType => ({
  name: `direction-of-${room}`,
  comment: `${room} may import ${below.length > 0 ? below.join(', ') : 'nothing of ours'}`,
  severity: 'error',
  from: { path: filesOf(room) },
  to: { path: '^(src|dist)/', pathNot: [room, ...below].map(filesOf) },
}))

export const forbidden: IForbiddenRuleType[] = [
  ...directions,
  {
    name: 'room-unknown',
    comment: 'every file of src belongs to a room that has a line in scripts/imports/rules.ts',
    severity: 'error',
    module: {
      path: '^src/',
      pathNot: Object.keys(rooms).map(filesOf),
      numberOfDependentsLessThan: 100, // the most it takes: any file
    },
    from: {},
  },
  {
    name: 'cycle',
    comment: 'no file reaches itself through its imports, types included',
    severity: 'error',
    from: {},
    to: { circular: true },
  },
  {
    name: 'library-stands-alone',
    comment: 'src knows nothing of what lives beside it, nor its own package by name',
    severity: 'error',
    from: { path: '^src/', pathNot: '^src/dashboard/page/' },
    to: { path: '^((test|examples|bench|docs|scripts)/|aqueduct-ts(/|$))' },
  },
  {
    name: 'library-ships-its-dependencies',
    comment: 'src imports dependencies and peers, nothing that only this repository installs',
    severity: 'error',
    from: { path: '^src/' },
    to: { dependencyTypes: ['npm-dev', 'npm-no-pkg'], dependencyTypesNot: ['npm-peer'] },
  },
  {
    name: 'public-entry-only',
    comment: "examples and benchmarks import the library as a user does: from 'aqueduct-ts'",
    severity: 'error',
    from: { path: '^(examples|bench)/' },
    to: { path: '^(src|dist|test)/' },
  },
]
