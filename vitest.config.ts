import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    setupFiles: ['test/support/check-inputs.ts'],
    pool: 'forks',
    // V8 aborts now and then where worker threads come and go by the hundred, on processors with memory protection keys:
    // "Check failed: jit_page.has_value()", a race in its own books of code pages.
    execArgv: ['--no-memory-protection-keys'],
    maxWorkers: 2, // tests start processes of their own
    sequence: { shuffle: false, concurrent: false },
    testTimeout: 120_000,
    hookTimeout: 30_000,
    teardownTimeout: 10_000,
  },
})
