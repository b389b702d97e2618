/**
 * Who has asked how many bytes wait for a client, by the numbers of the marks. Not a field of each session, because
 * such questions are rare.
 */

type Answer = (bytes: number | undefined) => void;

const ASKED = new WeakMap<object, Map<number, Answer>>();

/** Notes who gets the answer to a mark of a session. */
export function noteAsked(session: object, mark: number, answer: Answer): void {
  const asked = ASKED.get(session);
  if (asked === undefined) ASKED.set(session, new Map([[mark, answer]]));
  else asked.set(mark, answer);
}

/** Takes the one who gets the answer; undefined if the mark was made for something else. */
export function takeAsked(session: object, mark: number): Answer | undefined {
  const asked = ASKED.get(session);
  const answer = asked?.get(mark);
  asked?.delete(mark);
  return answer;
}

/** Makes all marks again that have no answer. */
export function markAgain(session: object, mark: () => number): void {
  const asked = ASKED.get(session);
  if (asked !== undefined) ASKED.set(session, new Map([...asked.values()].map((answer) => [mark(), answer])));
}

/** There will be no answers any more. */
export function endAsked(session: object): void {
  const answers = ASKED.get(session);
  ASKED.delete(session);
  for (const answer of answers?.values() ?? []) answer(undefined);
}
