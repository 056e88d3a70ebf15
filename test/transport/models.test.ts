import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { missingForSearch, search } from '../support/spin.ts'

const MINUTE = 60_000
const missing = await missingForSearch()

/** A model, what it is about, and the numbers that it is given. */
type Scene = readonly [model: string, name: string, definitions: readonly string[]]

const sound: readonly Scene[] = [
  ['queue', 'a full ring, three tasks, two workers of which one dies', []],
  ['queue', 'two clients, two workers of which one dies', ['-DTASKS=2', '-DCLIENTS=2']],
  ['queue', 'workers that hand over, of which one dies', ['-DTASKS=2', '-DCELLS=4', '-DHOPS=2']],
  ['queue', 'two clients, one worker, no room', ['-DCLIENTS=2', '-DWORKERS=1', '-DDEATHS=0']],
  ['bells', 'workers that sleep, of which one dies', ['-DBATCH=1', '-DTASKS=2']],
  ['bells', 'workers that gather, of which one dies', ['-DTASKS=2']],
  ['bells', 'workers that gather', ['-DTASKS=3', '-DDEATHS=0']],
  ['bells', 'a client that waits for room', ['-DBATCH=1', '-DROOM=1']],
  [
    'bells',
    'two clients that find room by turns',
    ['-DBATCH=1', '-DROOM=2', '-DCLIENTS=2', '-DTASKS=4', '-DWORKERS=1', '-DDEATHS=0'],
  ],
  ['withdraw', 'callers that give up, two workers of which one dies', []],
  ['withdraw', 'callers that give up, three tasks', ['-DTASKS=3', '-DDEATHS=0']],
  [
    'withdraw',
    'callers that give up, a worker that dies twice, tasks that are run again',
    ['-DWORKERS=1', '-DDEATHS=2', '-DRETRIES=1'],
  ],
]

const unsound: readonly Scene[] = [
  ['queue', 'a cell is filled before head has passed it', ['-DFILL_UNPASSED', '-DDEATHS=0']],
  ['queue', 'a task is put back under its old generation', ['-DSAME_GENERATION', '-DTASKS=2']],
  [
    'bells',
    'who gathers looks for tasks, and then arms its bell',
    ['-DLOOKED_BEFORE_ARMED', '-DTASKS=2'],
  ],
  [
    'bells',
    'a worker is on the list before its bell is armed',
    ['-DLISTED_BEFORE_ARMED', '-DBATCH=1', '-DTASKS=2'],
  ],
  ['bells', 'nobody is rung after a death', ['-DNOBODY_RUNG', '-DTASKS=2']],
  [
    'bells',
    'a client does not look once more after it has asked for room with its bell armed',
    ['-DONE_LOOK_ARMED', '-DBATCH=1', '-DROOM=1', '-DDEATHS=0'],
  ],
  [
    'withdraw',
    'a worker says that a task is late before the task is its own',
    ['-DOUTCOME_UNCLAIMED'],
  ],
  ['withdraw', 'recovery does not look for the cell of a queued task', ['-DCELL_FORGOTTEN']],
]

describe('in the model of', () => {
  test.for(sound)(
    'the %s, %s: every task is settled, and once',
    { timeout: 3 * MINUTE },
    async ([model, , definitions], { skip }) => {
      skip(missing.length > 0, `not installed: ${missing.join(', ')}`)
      const report = await search(model, definitions)
      expect(report).toMatch(/errors: 0\n/)
      expect(report).not.toMatch(/max search depth too small|reached -DMEMLIM bound/)
    },
  )

  test.for(unsound)(
    'the %s, it would show when %s',
    { timeout: 3 * MINUTE },
    async ([model, , definitions], { skip }) => {
      skip(missing.length > 0, `not installed: ${missing.join(', ')}`)
      const report = await search(model, definitions)
      expect(report).toMatch(/(invalid end state|assertion violated)[^]*errors: 1\n/)
    },
  )
})

test.each(['queue', 'bells', 'withdraw'])(
  'the model of the %s speaks of the code as it is',
  async (model) => {
    const text = await readFile(new URL(`../../model/${model}.pml`, import.meta.url), 'utf8')
    // ` * src/file.ts: name, name`, and on: names on the next line, indented.
    const [header = ''] = /^\/\*[^]*?\*\//.exec(text) ?? []
    const known = new Set<string>()
    const entries = [
      ...header.matchAll(/^ \* (src\/\S+\.ts|model only): ((?:.*\n)(?: \* {3}.*\n)*)/gm),
    ]
    expect(entries.length).toBeGreaterThan(3)
    for (const [, file = '', list = ''] of entries) {
      const names = list
        .replaceAll(/\n| \* /g, ' ')
        .split(',')
        .map((name) => name.trim())
      const code = file.startsWith('src/')
        ? await readFile(new URL(`../../${file}`, import.meta.url), 'utf8')
        : ''
      for (const name of names) {
        known.add(name)
        const isThere = code === '' || new RegExp(`(^|[^\\w])${name}\\b`).test(code)
        expect(isThere, `${name} in ${file}`).toBe(true)
        const isUsed = new RegExp(`\\b${name}\\b`).test(text.slice(header.length))
        expect(isUsed, `${name} in the model`).toBe(true)
      }
    }
    const defined = [...text.matchAll(/^inline (\w+)/gm)].map(([, name]) => name!)
    expect(defined.filter((name) => !known.has(name))).toEqual([])
  },
)
