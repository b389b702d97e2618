/**
 * How long a script waits for something that must happen. On a busy machine nothing may run for seconds, so the limit
 * is long; it only finds what never happens.
 */
export const WAIT_MS = 15_000;
