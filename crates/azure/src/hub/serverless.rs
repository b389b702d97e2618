//! A hub whose handlers are webhooks: this door is the Socket.IO server, and clients' messages go
//! to its machine instead of an app server's tunnel.

use serde_json::{Map, Value};
use trunkline_switchboard::ServerKey;
use trunkline_trunk::{Frame, Open, SessionNumber, Str};

use super::client::{Client, ClientKey, Phase};
use super::{Hub, Now, Output, event, opening};
use crate::group::Group;
use crate::metrics::Cause;
use crate::payload;
use crate::serverless::{Answered, CallKey, CloseCause, Facts, Ignored, Output as Wish};

/// The key of clients that belong to no app server.
pub(super) const SERVERLESS: ServerKey = ServerKey(u32::MAX);

impl Hub {
    /// Handles the end of a webhook call: an answer, no handler, or no answer.
    pub(crate) fn handle_webhook_answer(&mut self, now: Now, call: CallKey, answered: &Answered) {
        self.now = now;
        if let Some(machine) = &mut self.serverless {
            machine.handle_answer(call, answered);
        }
        self.grant_wishes();
    }

    /// Opens a session when no app server is there; a valid token is enough.
    pub(super) fn open_serverless(
        &mut self,
        open: &Open,
        claims: &Map<String, Value>,
        origin: Option<&str>,
    ) {
        let Some(machine) = &mut self.serverless else { return };
        let session = open.session;
        let user = opening::user_of(claims);
        let body = event::connect_body(&open.request, claims);
        let facts = Facts {
            address: Box::from(&*open.request.address),
            connection: Box::from(&*open.sid),
            user: user.map(Into::into),
            connect_body: String::from_utf8_lossy(&body).into(),
        };
        machine.handle_open(self.now.at, session.0, facts);
        let key = ClientKey(self.next_client);
        self.next_client += 1;
        let client = Client::new(session, &open.sid, user, SERVERLESS, Phase::Open);
        self.by_session.insert(session, key);
        self.clients.insert(key, client);
        self.metrics.connections.inc();
        self.registry.insert(session, &open.sid, user, SERVERLESS);
        for group in opening::first_groups(claims) {
            self.registry.join(session, &group);
        }
        self.outbox.frame(Frame::Accept {
            session,
            sid: Str::EMPTY,
            headers: Vec::new(),
            lasting: opening::cors(origin),
        });
    }

    /// Ends all clients of the handlers, which are gone.
    pub(super) fn end_serverless(&mut self) {
        let of_handlers = self.clients.iter().filter(|(_, client)| client.server == SERVERLESS);
        let keys: Vec<ClientKey> = of_handlers.map(|(key, _)| *key).collect();
        for key in keys {
            self.close_for(key, "handlers_removed", "the hub has no event handlers any longer");
        }
        self.serverless = None;
        self.metrics.serverless_sockets.set(0);
    }

    /// Whether the client belongs to no app server.
    pub(super) fn is_serverless(&self, key: ClientKey) -> bool {
        self.clients.get(&key).is_some_and(|client| client.server == SERVERLESS)
    }

    /// Handles one message of such a client.
    pub(super) fn hear_serverless(&mut self, session: SessionNumber, binary: bool, message: &[u8]) {
        let Some(machine) = &mut self.serverless else { return };
        if binary {
            machine.handle_binary(session.0);
        } else {
            let ids = &mut self.socket_ids;
            machine.handle_text(session.0, &String::from_utf8_lossy(message), &mut || ids.next());
        }
        self.grant_wishes();
    }

    /// Handles the end of such a client's session.
    pub(super) fn serverless_ended(
        &mut self,
        key: ClientKey,
        session: SessionNumber,
        reason: &str,
    ) {
        if let Some(machine) = &mut self.serverless {
            machine.handle_closed(session.0, reason);
        }
        self.forget(key);
        self.grant_wishes();
    }

    /// Handles a REST call that removed a client from a namespace; does nothing for a client of an
    /// app server.
    pub(super) fn serverless_left(&mut self, session: SessionNumber, namespace: &str) {
        if let Some(machine) = &mut self.serverless {
            machine.disconnect(session.0, namespace);
        }
        self.grant_wishes();
    }

    /// Passes the time to the machine, whose deadline may have passed.
    pub(super) fn serverless_timeout(&mut self) {
        if let Some(machine) = &mut self.serverless {
            machine.handle_timeout(self.now.at);
        }
        self.grant_wishes();
    }

    /// Carries out the machine's outputs, and those that follow from them.
    fn grant_wishes(&mut self) {
        while let Some(wish) = self.serverless.as_mut().and_then(|machine| machine.poll_output()) {
            self.grant(wish);
        }
        if let Some(machine) = &self.serverless {
            self.metrics
                .serverless_sockets
                .set(i64::try_from(machine.sockets()).unwrap_or(i64::MAX));
        }
    }

    fn grant(&mut self, wish: Wish) {
        match wish {
            Wish::Call { call, event } => self.outbox.push(Output::Webhook(call, event)),
            Wish::Close { session, cause } => self.close_serverless(SessionNumber(session), cause),
            Wish::Deliver { session, payload } => {
                let key = self.by_session.get(&SessionNumber(session)).copied();
                match (key, payload::parse(&payload)) {
                    (Some(key), Ok(packets)) => self.deliver(key, &packets),
                    (_, Err(_)) => self.count_ignored("answer_unreadable"),
                    (None, Ok(_)) => (),
                }
            }
            Wish::Enter { session, socket } => {
                let session = SessionNumber(session);
                let (namespace, room) = (socket.namespace.to_string(), socket.id.to_string());
                self.registry.join(session, &Group::Room { namespace, room });
                self.enter_namespace(session, &socket.namespace, &socket.id);
            }
            Wish::Exit { session, namespace } => {
                self.leave_namespace(SessionNumber(session), &namespace);
            }
            Wish::Ignored(what) => self.count_ignored(match what {
                Ignored::Ack => "ack",
                Ignored::Binary => "binary",
                Ignored::EventName => "event_name",
                Ignored::NoHandler => "no_handler",
            }),
            Wish::Send { session, text } => {
                self.send(SessionNumber(session), false, text.into());
            }
        }
    }

    fn close_serverless(&mut self, session: SessionNumber, cause: CloseCause) {
        let Some(key) = self.by_session.get(&session).copied() else { return };
        let (label, description) = match cause {
            CloseCause::EventsWaiting => ("events_waiting", "too many events wait for the handler"),
            CloseCause::NamespaceTimeout => {
                ("namespace_timeout", "no namespace was entered in time")
            }
            CloseCause::PacketInvalid => ("packet_invalid", "a packet that must not come now"),
        };
        self.close_for(key, label, description);
    }

    fn count_ignored(&self, cause: &'static str) {
        self.metrics.serverless_ignored.get_or_create(&Cause { cause }).inc();
    }
}
