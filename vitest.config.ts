import { join } from 'node:path'
import { defineConfig } from 'vitest/config'

/** Programs that tests start compile what the ones before them have compiled already: a start takes a third of the time. */
const env = { NODE_COMPILE_CACHE: join(import.meta.dirname, '.run/compile-cache') }

/**
 * `fast` needs neither root nor the addon; `netns` needs root, real kernels and the native build; `image` needs root, QEMU and the built images
 * (`make image`), and minutes.
 */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'fast',
          env,
          // No test leaves anything behind in its process, so files share one: half the time goes into loading otherwise.
          isolate: false,
          maxWorkers: 2,
          testTimeout: 30_000,
          include: [
            'src/**/*.test.ts',
            'test/{arch,cli,docs,sim,vectors,contract,lab,image-static}/**/*.test.ts',
            'bench/**/*.test.ts',
            'tools/**/*.test.ts',
            'image/**/*.test.ts',
          ],
          exclude: ['**/*.netns.test.ts'],
        },
      },
      {
        test: {
          name: 'netns',
          env,
          include: ['test/netns/**/*.test.ts', '{src,lab,test}/**/*.netns.test.ts'],
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          name: 'image',
          env,
          include: ['test/image/**/*.test.ts'],
          fileParallelism: false,
          // Boots under emulation: what is slow is no failure, what never comes is. Tests of power cuts set their own.
          testTimeout: 900_000,
          hookTimeout: 600_000,
        },
      },
    ],
  },
})
