// What may go wrong with a question.

/** Nobody is signed in (any more). */
export class SignedOut extends Error {}

/** There is no answer. */
export class Away extends Error {}
