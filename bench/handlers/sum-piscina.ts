/** The same task as that of `sum.ts`, as piscina takes it. */
export default function sum({ number }: { readonly number: number }): { readonly sum: number } {
  return { sum: number + 1 }
}
