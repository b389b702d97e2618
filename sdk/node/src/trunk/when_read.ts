/**
 * Calls back after all data that has arrived by now has been read. In a process that was busy, a timer fires before the
 * streams are read, and must not take unread data for silence.
 */
export function whenRead(callback: () => void): void {
  setImmediate(() => setImmediate(callback));
}
