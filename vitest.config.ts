import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    setupFiles: ['test/support/check-inputs.ts'],
    pool: 'forks',
    // V8 aborts now and then where worker threads that run WebAssembly come and go (docs/troubleshooting.md), and threads
    // of the tests do: Node strips their types with it. With this flag V8 compiles none of the wrappers that it loses.
    execArgv: ['--wasm-wrapper-tiering-budget=2147483647'],
    maxWorkers: 2, // tests start processes of their own
    sequence: { shuffle: false, concurrent: false },
    testTimeout: 120_000,
    hookTimeout: 30_000,
    teardownTimeout: 10_000,
  },
})
