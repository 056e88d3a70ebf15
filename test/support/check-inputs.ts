import { vi } from 'vitest'

// All flows of the tests look for handlers that write into their input and do not say so, but for those that say they
// do not.
vi.mock(import('../../src/defaults.ts'), async (importOriginal) => {
  const original = await importOriginal()
  return { ...original, flowDefaults: { ...original.flowDefaults, checkInputs: true } }
})
