//! The machine in virtual time, with clients and handlers that only exist in the test.

mod bounds;
mod connecting;
mod events;
mod leaving;
mod random;

use core::time::Duration;

use trunkline_clock::Timestamp;

use super::event::SocketFacts;
use super::*;

const T0: Timestamp = Timestamp::ORIGIN;

/// A machine, and its outputs as text.
struct World {
    machine: Machine,
    now: Timestamp,
    ids: u32,
    /// Calls whose answer is awaited, oldest first.
    asked: Vec<CallKey>,
}

impl World {
    fn new(settings: Settings) -> Self {
        Self { machine: Machine::new(settings), now: T0, ids: 0, asked: Vec::new() }
    }

    /// A connection; its id is `c` and its number.
    fn open(&mut self, session: u32) {
        let facts = Facts {
            address: "127.0.0.1".into(),
            connection: format!("c{session}").into(),
            user: None,
            connect_body: r#"{"claims":{}}"#.into(),
        };
        self.machine.handle_open(self.now, session, facts);
    }

    /// The outputs for a text of the client.
    fn text(&mut self, session: u32, text: &str) -> Vec<String> {
        let ids = &mut self.ids;
        self.machine.handle_text(session, text, &mut || {
            *ids += 1;
            format!("s{ids}").into()
        });
        self.drain()
    }

    /// Answers the oldest open call.
    fn answer(&mut self, answered: &Answered) -> Vec<String> {
        let call = self.asked.remove(0);
        self.machine.handle_answer(call, answered);
        self.drain()
    }

    fn ok(&mut self) -> Vec<String> {
        self.answer(&response(204, ""))
    }

    /// A connection with one socket in `/`.
    fn connected(&mut self, session: u32) {
        self.open(session);
        self.text(session, "0");
        self.ok();
        self.ok();
    }

    fn after(&mut self, span: Duration) -> Vec<String> {
        self.now = self.now + span;
        self.machine.handle_timeout(self.now);
        self.drain()
    }

    fn closed(&mut self, session: u32, reason: &str) -> Vec<String> {
        self.machine.handle_closed(session, reason);
        self.drain()
    }

    fn drain(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        while let Some(output) = self.machine.poll_output() {
            if let Output::Call { call: Some(call), .. } = &output {
                self.asked.push(*call);
            }
            said.push(words(&output));
        }
        said
    }
}

fn response(status: u16, body: &'static str) -> Answered {
    Answered::Response { status, media_type: "text/plain".into(), body: body.into() }
}

fn words(output: &Output) -> String {
    match output {
        Output::Call { call, event: Event { kind, socket, body, .. } } => {
            let how = if call.is_some() { "ask" } else { "tell" };
            let SocketFacts { connection, namespace, id } = &**socket;
            format!("{how} {} {} {namespace} {id} {body}", kind.name(), connection.connection)
        }
        Output::Close { session, cause } => format!("close {session} {cause:?}"),
        Output::Deliver { session, payload } => {
            format!("deliver {session} {}", String::from_utf8_lossy(payload))
        }
        Output::Enter { session, socket } => {
            format!("enter {session} {} {}", socket.namespace, socket.id)
        }
        Output::Exit { session, namespace } => format!("exit {session} {namespace}"),
        Output::Ignored(what) => format!("ignored {what:?}"),
        Output::Send { session, text } => format!("send {session} {text}"),
    }
}
