import { expect, test } from 'vitest'
import { Company } from '../../src/worker/company.ts'
import { turn } from '../support/flow.ts'

function noted(promise: Promise<void> | undefined, name: string, log: string[]): void {
  void Promise.resolve(promise).then(() => log.push(name))
}

test('loops have their batches side by side until one wants to be alone', async () => {
  const company = new Company()
  const log: string[] = []
  expect(company.join()).toBeUndefined()
  expect(company.join()).toBeUndefined()
  noted(company.beAlone(), 'alone', log)
  noted(company.join(), 'third', log)
  await turn()
  expect(log).toEqual([])
  company.leave() // the second has finished
  await turn()
  expect(log).toEqual(['alone'])
  company.leave()
  await turn()
  expect(log).toEqual(['alone', 'third'])
  expect(company.join()).toBeUndefined()
})

test('two that want to be alone are so one after another', async () => {
  const company = new Company()
  const log: string[] = []
  void company.join()
  void company.join()
  noted(company.beAlone(), 'first', log)
  noted(company.beAlone(), 'second', log)
  await turn()
  expect(log).toEqual(['first'])
  noted(company.join(), 'third', log)
  company.leave()
  await turn()
  expect(log).toEqual(['first', 'second'])
  company.leave()
  await turn()
  expect(log).toEqual(['first', 'second', 'third'])
})

test('one that is the only one is alone at once', async () => {
  const company = new Company()
  void company.join()
  await company.beAlone()
  company.leave()
  expect(company.join()).toBeUndefined()
})
