/** The app's answers to handshakes and other requests of clients. */
import type { ClientResponse, Header } from "./frames.js";
import type { MachineHost } from "./machine_types.js";
import type { Outbound } from "./outbound.js";

/** Sends the answers of one trunk. */
export class Answers {
  private readonly outbound: Outbound;
  private readonly host: MachineHost;

  constructor(outbound: Outbound, host: MachineHost) {
    this.outbound = outbound;
    this.host = host;
  }

  accept(session: number, sid: string, headers: Header[], lasting: Header[]): void {
    if (sid === "" && headers.length === 0 && lasting.length === 0) return this.outbound.acceptPlainly(session);
    if (this.outbound.frame({ type: "Accept", session, sid, headers, lasting })) return;
    this.host.onUnsent(
      "response",
      "the app's headers for a client's handshake are more than the node takes: they are left out",
    );
    this.outbound.acceptPlainly(session);
  }

  reject(session: number, response: ClientResponse): void {
    if (!this.outbound.frame({ type: "Reject", session, response }))
      this.outbound.frame({ type: "Reject", session, response: this.tooLong() });
  }

  respond(requestId: number, response: ClientResponse): void {
    if (!this.outbound.frame({ type: "Response", requestId, response }))
      this.outbound.frame({ type: "Response", requestId, response: this.tooLong() });
  }

  private tooLong(): ClientResponse {
    this.host.onUnsent(
      "response",
      "an answer of the app to a client's request is more than the node takes: the client gets 500",
    );
    return { status: 500, headers: [], body: Buffer.alloc(0) };
  }
}
