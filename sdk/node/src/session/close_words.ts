/** The reasons of ended sessions, in the words that the app sees. */
import { CloseReason } from "../trunk/frames.js";

/** `spec/trunk.md`, section 4: the reason in the app's `disconnect` handler. A code of a later version counts as 2. */
export const WORDS: Readonly<Record<number, string>> = {
  [CloseReason.clientClosed]: "transport close",
  [CloseReason.transportError]: "transport error",
  [CloseReason.pingTimeout]: "ping timeout",
  [CloseReason.parseError]: "parse error",
  [CloseReason.forcedClose]: "forced close",
  [CloseReason.serverShuttingDown]: "server shutting down",
  [CloseReason.outboxFull]: "transport close",
  [CloseReason.messageTooLarge]: "transport error",
  [CloseReason.nodeShuttingDown]: "transport close",
  [CloseReason.closedWithMessages]: "transport close",
  [CloseReason.parseErrorWithMessages]: "parse error",
};

/**
 * The details of ends for which Socket.IO has no reason of its own: the app finds the cause in the second argument of
 * `disconnect`, in the form of a client's details.
 */
export function causeOf(reason: number, slug: string): CloseDetails | undefined {
  const isOutbox = reason === CloseReason.outboxFull;
  if (!isOutbox && reason !== CloseReason.nodeShuttingDown) return undefined;
  const cause = slug !== "" && slug in CAUSES ? slug : isOutbox ? "outbox_full" : "node_shutdown";
  return {
    description: CAUSES[cause] ?? cause,
    context: { cause, blame: BLAMES[cause] ?? "node" },
  };
}

type Blame = "app_server" | "client" | "node";

/** Causes on another side than the node's. */
const BLAMES: Readonly<Record<string, Blame>> = {
  namespaces_full: "client",
  outbox_full: "client",
  rooms_full: "app_server",
  token_expired: "client",
  token_revoked: "app_server",
  user_sessions_full: "client",
};

interface CloseDetails {
  readonly description: string;
  readonly context: { readonly cause: string; readonly blame: Blame };
}

const CAUSES: Readonly<Record<string, string>> = {
  outbox_full: "more waited for the client than the node holds for one that does not take it",
  memory_full: "the node used as much memory as it may, and much waited for the client",
  namespaces_full: "the client was in as many namespaces as the node allows one session (session_namespaces_max)",
  rooms_full: "the client was in as many rooms as the node allows one session (session_rooms_max)",
  node_shutdown: "the node is shutting down",
  address_denied: "the operator of the node has denied the client's address",
  hub_removed: "the hub was removed from the node's configuration",
  token_expired: "the client's token has ended",
  token_revoked: "an app server has revoked the client's token",
  user_sessions_full: "the client's user has opened more connections than it may have",
  key_removed: "the key that signed the client's token is none of the hub's any longer",
};
