/** Bytes of another process that are not what they should be. */
export class Unreadable extends Error {
  override readonly name = "Unreadable";
}
