import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { eachDeath, eachPreemption, preemptedAt } from '../support/atomics.ts'
import { Frame, LONG, Scene, kinds } from '../support/guest-scene.ts'
import { SmallWorker } from '../support/small-flow.ts'

// The dead would go on collecting garbage, a second later, for the sake of what they held.
beforeAll(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
})
afterAll(() => {
  vi.useRealTimers()
})

/** What a client has done, and what it dies in. */
interface Story {
  readonly before?: (scene: Scene) => void
  readonly act: (scene: Scene) => void
}

const submit =
  (note = '', timeout = Infinity) =>
  ({ guest, signal }: Scene): void => {
    for (const number of [100, 110])
      guest.submit(new Frame(number, undefined, note), timeout, signal)
  }
const tick = ({ guest }: Scene): void => guest.client.tick()
const cancel = (scene: Scene): void => scene.cancel()
const expire = (scene: Scene): void => {
  scene.flow.setTime(60)
  tick(scene)
}

const stories: Readonly<Record<string, Story>> = {
  'has tasks admitted': { act: submit() },
  'has tasks admitted whose fields lie in a block': { act: submit(LONG) },
  'has tasks admitted with payloads of its results': {
    before: (scene) => scene.holdResults(),
    act: (scene) => scene.borrow(),
  },
  'has tasks admitted that waited for room': {
    before: (scene) => {
      for (const number of [30, 40, 50]) scene.bystand(number)
      submit()(scene)
      scene.turns()
    },
    act: tick,
  },
  'receives a body': { act: (scene) => scene.receive() },
  'collects results': {
    before: (scene) => {
      submit(LONG)(scene)
      scene.turns()
    },
    act: tick,
  },
  'collects errors': {
    before: (scene) => {
      submit()(scene)
      scene.turns('fails', 1)
    },
    act: tick,
  },
  'releases results': {
    before: (scene) => scene.holdResults(),
    act: ({ guest }) => guest.release(),
  },
  'releases results that its tasks borrow': {
    before: (scene) => {
      scene.holdResults()
      scene.borrow()
      scene.turns()
    },
    act: (scene) => {
      scene.guest.release()
      tick(scene)
      scene.guest.release()
    },
  },
  'cancels tasks that wait': { before: submit(), act: cancel },
  'cancels tasks that a worker has claimed': {
    before: (scene) => {
      submit()(scene)
      scene.claim()
    },
    act: cancel,
  },
  'has tasks run into their deadline': { before: submit('', 50), act: expire },
  'has tasks run into their deadline that a worker has claimed': {
    before: (scene) => {
      submit('', 50)(scene)
      scene.claim()
    },
    act: expire,
  },
  'gives free memory back': {
    before: (scene) => {
      scene.holdResults()
      scene.guest.release()
    },
    act: ({ guest }) => guest.control.blocks.coolAll(),
  },
  'lets go in order': {
    before: (scene) => {
      scene.holdResults()
      scene.borrow()
    },
    act: ({ guest }) => {
      guest.client.failAll()
      guest.close()
    },
  },
}

describe.each(Object.keys(stories))('a client that %s dies at any step', (name) => {
  const { before, act } = stories[name]!

  test('and what it had is taken back', () => {
    const steps = eachDeath((die) => {
      const scene = new Scene()
      scene.bystand(10)
      before?.(scene)
      scene.bystand(20)
      die(() => act(scene))
      scene.recover()
      scene.recoverWorker(0)
      expect(scene.complaints()).toEqual([])
    })
    expect(steps).toBeGreaterThan(5)
  })

  test("and is recovered in the middle of a worker's turn", () => {
    eachDeath((die, death) => {
      const step = death % 2
      const scene = new Scene()
      scene.bystand(10)
      before?.(scene)
      die(() => act(scene))
      scene.recoverWorker(0)
      if (step === 1) scene.turn(0)
      const recover = (): void => {
        scene.recover()
        scene.bystand(20) // its payload lies in what has just become free
        scene.welcome()
      }
      // One moment for each death: with those of the other deaths they cover the turn.
      preemptedAt(1 + ((death * 7) % 150), recover, () => scene.turn(step))
      recover()
      expect(scene.complaints()).toEqual([])
    })
  })
})

describe.each(kinds)('a client has gone while a worker %s', (kind) => {
  // A handler that throws fails its batch.
  const batchSize = kind === 'fails' ? 1 : 2

  /** Tasks of both wait in front of the step. */
  function begin(step: number, isBorrowing: boolean): Scene {
    const scene = new Scene()
    if (isBorrowing) scene.holdResults()
    if (batchSize > 1) scene.bystand(10)
    if (isBorrowing) scene.borrow()
    else submit()(scene)
    if (batchSize === 1) scene.bystand(10)
    if (step === 1) scene.turn(0)
    return scene
  }

  describe.each([0, 1])('at step %i', (step) => {
    test.each([false, true])(
      'and is recovered at any moment of that (borrowing: %s)',
      (isBorrowing) => {
        const moments = eachPreemption((preempted) => {
          const scene = begin(step, isBorrowing)
          const recover = (): void => {
            scene.recover()
            scene.bystand(20)
            scene.welcome()
          }
          preempted(recover, () => scene.turn(step, kind, batchSize))
          scene.recover()
          expect(scene.complaints()).toEqual([])
        })
        expect(moments).toBeGreaterThan(30)
      },
    )

    test('and at any moment of its recovery a worker comes by', () => {
      const moments = eachPreemption((preempted) => {
        const scene = begin(step, true)
        let complete: (() => void) | undefined
        preempted(
          () => {
            complete = scene.beginTurn(step, kind, batchSize)
          },
          () => scene.recover(),
        )
        scene.bystand(20)
        scene.welcome()
        complete?.()
        expect(scene.complaints()).toEqual([])
      })
      expect(moments).toBeGreaterThan(50)
    })

    test('which dies at any step, and is recovered before it or after it', () => {
      eachDeath((die, death) => {
        const scene = begin(step, true)
        die(() => scene.turn(step, kind, batchSize))
        if (death % 2 === 0) scene.recover()
        scene.recoverWorker(step)
        scene.recover()
        scene.bystand(20)
        scene.welcome()
        expect(scene.complaints()).toEqual([])
      })
    })
  })
})

test('a task that a worker is handling goes no further once its client has gone', () => {
  const scene = new Scene()
  submit()(scene)
  new SmallWorker(scene.flow, 0, 0).turn(() => scene.recover())
  expect(scene.flow.control.queues[1]!.isEmpty()).toBe(true)
  expect(scene.complaints()).toEqual([])
})
