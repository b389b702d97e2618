/** The `cookie` option: a `Set-Cookie` line in the form that engine.io's own `cookie` package gives it. */
import type { CookieOptions } from "../socketio/types.js";

/** The value of a `Set-Cookie` header for a session id. */
export function serializeCookie(value: string, options: CookieOptions): string {
  let line = `${options.name}=${encodeURIComponent(value)}`;
  if (options.maxAge !== undefined) line += `; Max-Age=${Math.floor(options.maxAge)}`;
  if (options.domain) line += `; Domain=${options.domain}`;
  if (options.path) line += `; Path=${options.path}`;
  if (options.expires) line += `; Expires=${options.expires.toUTCString()}`;
  if (options.httpOnly) line += "; HttpOnly";
  if (options.secure) line += "; Secure";
  if (options.partitioned) line += "; Partitioned";
  if (options.priority) line += `; Priority=${capitalized(options.priority)}`;
  if (options.sameSite) line += `; SameSite=${options.sameSite === true ? "Strict" : capitalized(options.sameSite)}`;
  return line;
}

function capitalized(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1).toLowerCase();
}
