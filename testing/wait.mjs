// Waiting for a state, never for a time.

/**
 * How long a test waits for what must come. On a busy machine seconds pass in which nothing runs: this finds what never
 * comes.
 */
const GIVE_UP_MS = 20_000;

/**
 * Asks `probe` until its answer is truthy, and returns that answer.
 * A probe that throws has no answer yet.
 */
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

/** The value of `promise`, or an error that says what did not come. */
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
