// Waits for a state, never for a fixed time.

/**
 * How long a test waits for something that must happen. On a busy machine nothing may run for seconds, so the limit is
 * long; it only finds what never happens.
 */
const GIVE_UP_MS = 20_000;

/** Calls `probe` until its result is truthy, and returns that result. A probe that throws has no result yet. */
export async function until(what, probe, { withinMs = GIVE_UP_MS, everyMs = 15 } = {}) {
  const giveUpAt = Date.now() + withinMs;
  let last;
  do {
    try {
      const answer = await probe();
      if (answer) return answer;
      last = answer;
    } catch (error) {
      last = error.message;
    }
    await new Promise((done) => setTimeout(done, everyMs));
  } while (Date.now() < giveUpAt);
  throw new Error(`never came: ${what} (last answer: ${show(last)})`);
}

/** The value of `promise`; after `withinMs`, an error that names what did not happen. */
export async function within(what, promise, withinMs = GIVE_UP_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`never came: ${what}`)), withinMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The arguments of the next `event` of an emitter. */
export function next(emitter, event, withinMs) {
  return within(`the event "${event}"`, new Promise((done) => emitter.once(event, (...args) => done(args))), withinMs);
}

function show(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}
