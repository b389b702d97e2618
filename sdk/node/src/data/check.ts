/**
 * Checks MessagePack before it is decoded: a decoder allocates memory for announced lengths, and calls itself for
 * nested values. Bytes that pass this check have no length beyond their end, are no deeper and have no more values than
 * our own payloads, and contain no extension types, which decoders handle in different ways.
 */
import { Unreadable } from "./unreadable.js";

/** What we send is at most 100 levels deep; each is one level of lists and maps, and a tagged leaf adds one. */
const NESTING_MAX = 128;

/** A type byte from 0xc0 on that our payloads never have. */
const REFUSED = -8;
/**
 * What follows the type bytes from 0xc0 on: a number of content bytes, or -1, -2, -4 for a length field of as many
 * bytes.
 */
const FOLLOWS = Int8Array.of(
  // nil, none, false, true; bin; ext
  ...[0, REFUSED, 0, 0, -1, -2, -4, REFUSED, REFUSED, REFUSED],
  // float, uint, int
  ...[4, 8, 1, 2, 4, 8, 1, 2, 4, 8],
  // fixext; str; array; map
  ...[REFUSED, REFUSED, REFUSED, REFUSED, REFUSED, -1, -2, -4, -2, -4, -2, -4],
);

/**
 * @throws Unreadable unless these bytes are one complete value, whose maps have texts as keys, with at most this many
 *   values
 */
export function checkPacked(bytes: Buffer, valuesMax: number): void {
  const end = bytes.length;
  /**
   * The open lists and maps: how many values are missing in each list; in a map, where keys count too, as a negative
   * number.
   */
  const open: number[] = [];
  let missing = 1;
  let isMap = false;
  let values = 0;
  let at = 0;
  for (;;) {
    while (missing === 0) {
      const outer = open.pop();
      if (outer === undefined) {
        if (at !== end) throw new Unreadable("there is more than one value");
        return;
      }
      isMap = outer < 0;
      missing = Math.abs(outer) - 1;
    }
    if (at >= end) throw new Unreadable("it is cut off");
    if (++values > valuesMax) throw new Unreadable(`it has more than ${valuesMax} values`);
    const type = bytes[at++] as number;
    const isKey = isMap && missing % 2 === 0;
    if (isKey && !(type >= 0xa0 && type < 0xc0) && !(type >= 0xd9 && type <= 0xdb))
      throw new Unreadable("a key is no text");
    let length = -1;
    let inside = -1;
    if (type < 0x80 || type >= 0xe0) length = 0;
    else if (type < 0x90) inside = 2 * (type & 0x0f);
    else if (type < 0xa0) inside = type & 0x0f;
    else if (type < 0xc0) length = type & 0x1f;
    else {
      const follows = FOLLOWS[type - 0xc0] as number;
      if (follows === REFUSED) throw new Unreadable(`it has a value of type 0x${type.toString(16)}`);
      if (follows >= 0) length = follows;
      else {
        if (at - follows > end) throw new Unreadable("it is cut off");
        const said = bytes.readUIntBE(at, -follows);
        at -= follows;
        if (type < 0xdc) length = said;
        else inside = type < 0xde ? said : 2 * said;
      }
    }
    if (inside < 0) {
      at += length;
      if (at > end) throw new Unreadable("it is cut off");
      missing--;
      continue;
    }
    if (open.length >= NESTING_MAX) throw new Unreadable(`it is more than ${NESTING_MAX} levels deep`);
    open.push(isMap ? -missing : missing);
    isMap = type < 0x90 || type >= 0xde;
    missing = inside;
  }
}
