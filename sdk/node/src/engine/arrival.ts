/**
 * A session of another app server before it is adopted: the app's engine middlewares and `allowRequest` see the
 * handshake's request again, because they leave on it what the app's handlers read (`request.session`, `request.user`).
 * Nobody gets their answer: an app that refuses gets the client back with a handshake of its own.
 */
import createDebug from "debug";
import { asIncoming, CapturedResponse, HandshakeRequest } from "../session/request.js";
import type { EngineBase } from "../socketio/types.js";
import { CloseReason, TransportCode, type FrameBodies } from "../trunk/frames.js";
import type { Machine } from "../trunk/machine.js";
import type { Session } from "../trunk/sessions.js";

const debug = createDebug("trunkline:rehome");

/** Whether the app takes part in handshakes. */
export function isAskedOnArrival(engine: EngineBase): boolean {
  return engine.middlewares.length > 0 || engine.opts.allowRequest !== undefined;
}

/** An `Adopt` for which the app's middlewares run. */
export class Arrival implements Session {
  readonly accepted = false;
  private readonly engine: EngineBase;
  private readonly machine: Machine;
  private readonly adopt: FrameBodies["Adopt"];
  private readonly request: HandshakeRequest;
  private readonly response: CapturedResponse;
  private isOver = false;

  constructor(engine: EngineBase, machine: Machine, adopt: FrameBodies["Adopt"]) {
    this.engine = engine;
    this.machine = machine;
    this.adopt = adopt;
    this.request = new HandshakeRequest(adopt.request).standAlone();
    // A middleware that answers by itself, or destroys the client's stream, has refused the session.
    this.response = new CapturedResponse(this.request, () => this.refuse("an engine middleware answers it"));
    this.request.socket.once("close", () => this.refuse("its stream was destroyed"));
  }

  /** @param admit makes the session that the app has accepted */
  run(admit: (request: HandshakeRequest) => { once(event: "close", listener: () => void): unknown }): void {
    const { engine, request, response } = this;
    this.machine.register(this.adopt.session, this);
    request.res = response;
    const isUpgrade = this.adopt.request.transport === TransportCode.websocket;
    engine._applyMiddlewares(asIncoming(request), response, (error) => {
      if (this.isOver) return;
      if (error !== undefined) return this.refuse("an engine middleware failed");
      engine.verify(asIncoming(request), isUpgrade, (code) => {
        if (this.isOver) return;
        if (code !== undefined) return this.refuse(`the engine refuses it with code ${code}`);
        this.isOver = true;
        delete request.res;
        const conn = admit(request);
        // Middlewares that log requests wait for this event.
        if (response.listenerCount("close") > 0) conn.once("close", () => response.emit("close"));
      });
    });
  }

  handleMessage(): void {
    // Not called: the machine accepts messages only after `Accept`.
  }

  handleUpgraded(): void {
    // Not called before `Accept` either.
  }

  handleMarked(): void {
    // Not called before `Accept` either.
  }

  /** Handles that the client went away. */
  handleClose(): void {
    this.abandon();
  }

  handleTrunkLost(): void {
    this.abandon();
  }

  private refuse(why: string): void {
    if (this.isOver) return;
    debug("session %s is not adopted: %s", this.adopt.sid, why);
    this.abandon();
    this.machine.close(this.adopt.session, CloseReason.forcedClose);
  }

  private abandon(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.response.emit("close");
  }
}
