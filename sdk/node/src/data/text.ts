/** Text in buffers, without the checks of `Buffer`'s own methods: the caller has made them. */

interface Direct {
  utf8Slice(start: number, end: number): string;
  utf8Write(text: string, offset: number): number;
}

// All known Node.js versions and Bun have these; other runtimes may not.
const isDirect = "utf8Slice" in Buffer.prototype && "utf8Write" in Buffer.prototype;

/** The text between two positions of a buffer; invalid UTF-8 becomes U+FFFD. */
export const readText: (buf: Buffer, start: number, end: number) => string = isDirect
  ? (buf, start, end) => (buf as unknown as Direct).utf8Slice(start, end)
  : (buf, start, end) => buf.toString("utf8", start, end);

/** Writes a text where there is room for it. Returns its length in bytes. */
export const writeText: (buf: Buffer, text: string, offset: number) => number = isDirect
  ? (buf, text, offset) => (buf as unknown as Direct).utf8Write(text, offset)
  : (buf, text, offset) => buf.write(text, offset);
