import type { MemoryOwner, MemoryUse } from 'aqueduct-ts'
import { byId, h, replace, styled } from './dom.ts'
import { bytes, count, percent } from './format.ts'
import { type Model, sum } from './model.ts'

const bytesOf = ({ blockBytes, blocks }: MemoryUse): number => blockBytes * blocks

function ownerName(owner: MemoryOwner, { steps, clients, pid }: Model['view']): string {
  if ('client' in owner) {
    const client = clients.find((it) => it.client === owner.client)
    return `held by process ${owner.client === 0 ? pid : (client?.pid ?? 'that has gone')}`
  }
  if ('step' in owner)
    return `${owner.kind === 'waiting' ? 'waiting for' : 'in'} ${steps[owner.step]?.name}`
  return owner.kind === 'arriving' ? 'on the way in' : 'finished, not yet collected'
}

/** What has how much, most first. */
function shares(
  title: string,
  uses: readonly MemoryUse[],
  nameOf: (use: MemoryUse) => string,
): HTMLElement {
  const groups = Map.groupBy(uses, nameOf)
  const rows = [...groups]
    .map(([name, of]) => ({
      name,
      bytes: sum(of.map(bytesOf)),
      blocks: sum(of.map(({ blocks }) => blocks)),
    }))
    .toSorted((a, b) => b.bytes - a.bytes)
    .slice(0, 8)
  const all = Math.max(1, sum(uses.map(bytesOf)))
  return h(
    'div',
    {},
    h('h4', {}, title),
    rows.length === 0
      ? h('p', { class: 'note' }, 'Nothing is in use.')
      : h(
          'ul',
          { class: 'shares' },
          ...rows.map((row) =>
            styled(
              h(
                'li',
                {},
                h('span', {}, row.name),
                h('span', { class: 'about' }, `${bytes(row.bytes)}, ${count(row.blocks, 'block')}`),
                h('i', { class: 'meter', 'aria-hidden': 'true' }),
              ),
              { '--busy': row.bytes / all },
            ),
          ),
        ),
  )
}

export function drawMemory({ view }: Model): void {
  const { bytesInUse, bytesCommitted, bytesMax } = view.stats.memory
  replace(
    byId('memory'),
    h(
      'p',
      {},
      h('strong', {}, bytes(bytesInUse)),
      ` in use, ${bytes(bytesCommitted)} given by the system, of ${bytes(bytesMax)} at most (${percent(bytesInUse / bytesMax)}).`,
    ),
    shares('By owner', view.memory, ({ owner }) => ownerName(owner, view)),
    shares('By size', view.memory, ({ blockBytes }) => `blocks of ${bytes(blockBytes)}`),
  )
}
