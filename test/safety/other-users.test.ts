import { readdirSync, readlinkSync } from 'node:fs'
import { expect, test } from 'vitest'
import { Flow, FlowStep } from '../../src/index.ts'
import { PictureHandler, PictureTask } from '../fixtures/pictures.ts'
import { newAddress, silent } from '../support/clients.ts'
import { pidsOf, started } from '../support/flow.ts'
import { Program } from '../support/flow-program.ts'

const NOBODY = '65534'

/** The memory files of flows that a process has open, as `pid:fd`. */
function memoryFilesOf(pid: number): string[] {
  const folder = `/proc/${pid}/fd`
  return readdirSync(folder).flatMap((fd) => {
    try {
      return readlinkSync(`${folder}/${fd}`).includes('memfd:aqueduct') ? [`${pid}:${fd}`] : []
    } catch {
      return [] // the descriptor with which the folder was read
    }
  })
}

test("another user can neither open a flow's memory nor look into its processes", async ({
  skip,
}) => {
  skip(process.getuid!() !== 0, 'only root can become another user')
  await using flow = await started(
    new Flow([new FlowStep(PictureHandler)], { address: newAddress(), logger: silent }),
  )
  using _ = await flow.process(new PictureTask(1, 50_000))
  const files = [process.pid, ...pidsOf(flow)].flatMap(memoryFilesOf)
  expect(files.length).toBeGreaterThanOrEqual(4) // two files, in two processes at least

  await using friend = new Program('trespasser.ts', '', ...files)
  const allowed = Object.entries(await friend.message<Record<string, string>>())
  // Whoever is the same user can do all of this: that is how clients attach.
  expect(allowed.filter(([, outcome]) => outcome !== 'done')).toEqual([])

  await using stranger = new Program('trespasser.ts', NOBODY, ...files)
  const refused = Object.entries(await stranger.message<Record<string, string>>())
  expect(refused.length).toBeGreaterThan(allowed.length)
  expect(refused.filter(([, outcome]) => outcome !== 'EACCES' && outcome !== 'EPERM')).toEqual([])
})
