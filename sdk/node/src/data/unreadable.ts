/** Bytes from another process that do not follow the format. */
export class Unreadable extends Error {
  override readonly name = "Unreadable";
}
