/** Nominal typing without runtime cost. Nested this way, a brand of a brand stays usable instead of becoming `never`. */
declare const tag: unique symbol
export type Brand<T, Name extends string> = T & {
  readonly [tag]: { readonly [N in Name]: true }
}
