import { burn } from '../harness/burn.ts'

/** The same task as that of `burn.ts`, as piscina takes it. */
export default function run({ ms }: { readonly ms: number }): { readonly done: boolean } {
  burn(ms)
  return { done: true }
}
