/** The limits of data that leaves this process. */
import type { LeftOut } from "./not_plain.js";

/** The bytes that are counted for each value in addition to its own. */
export const VALUE_BYTES = 8;

/** The limits of what is written, and what happens to values that cannot be written. */
export interface PlainLimits {
  /** Roughly the most bytes. Exceeding them ends the walk at once. */
  readonly bytesMax: number;
  /** The most values that the walk looks at. Without it, only `bytesMax` limits them. */
  readonly valuesMax?: number;
  /**
   * Called for values that are left out because they cannot be written. Without it, the first such value throws
   * {@link NotPlain}; so does a function or a symbol, which is otherwise left out silently.
   */
  readonly onLeftOut?: (left: LeftOut) => void;
  /** Whether repeated texts and keys are written once, in tables. Only for receivers that read form 2. */
  readonly sharesParts?: boolean;
  /** Whether everything outside of each {@link Part} was made for this payload only, so that nothing refers to it. */
  readonly ownsRest?: boolean;
  /** Whether each {@link Part} is replaced without a look at its value, because the data was too long with them. */
  readonly withoutParts?: boolean;
}

/** A value in a message that may be replaced as a whole, so that the rest of the message arrives. */
export class Part {
  readonly value: unknown;
  /** The replacement for the value. */
  readonly instead: unknown;

  constructor(value: unknown, instead?: unknown) {
    this.value = value;
    this.instead = instead;
  }
}
