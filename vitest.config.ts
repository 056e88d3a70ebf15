import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2, // tests start processes of their own
    sequence: { shuffle: false, concurrent: false },
    testTimeout: 120_000,
    hookTimeout: 30_000,
    teardownTimeout: 10_000,
  },
})
