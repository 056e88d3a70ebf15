/** The same task as that of `sum.ts`, as pools of functions take it. */
export default function sum({ number }: { readonly number: number }): { readonly sum: number } {
  return { sum: number + 1 }
}
