/** Reports of data that cannot leave this process. */

/** The way to a value from the root of the data: keys and indexes. */
export type Path = readonly (string | number)[];

/** The report of a value that cannot leave this process. */
export interface LeftOut {
  readonly message: string;
  /** The message without the indexes of lists: the same fault in many items of a list is one kind. */
  readonly kind: string;
}

/** The error for data that cannot leave this process: a value in it cannot be copied, or it exceeds a limit. */
export class NotPlain extends Error implements LeftOut {
  override readonly name = "NotPlain";
  readonly kind: string;

  constructor(path: Path, why: string) {
    const { message, kind } = leftOut(path, why);
    super(message);
    this.kind = kind;
  }
}

/** Makes the report of a value at a place. */
export function leftOut(path: Path, why: string): LeftOut {
  const place = pathText(path);
  return { message: `${place} ${why}`, kind: `${place.replace(/\[\d+\]/g, "[]")} ${why}` };
}

function pathText(path: Path): string {
  let text = "";
  for (const step of path) {
    if (typeof step === "number") text += `[${step}]`;
    else text += text === "" ? step : `.${step}`;
    if (text.length > 200) break;
  }
  return text === "" ? "it" : text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
