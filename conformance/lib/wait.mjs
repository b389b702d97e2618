/**
 * How long a script waits for what must come. On a busy machine seconds pass in which nothing runs: this is to find
 * what never comes.
 */
export const WAIT_MS = 15_000;
