//! The app servers of these tests: the frames that they send and receive.

use std::sync::Arc;

use bytes::Bytes;
use trunkline_trunk::{
    Broadcast, BroadcastFlags, CloseReason, Frame, NamespaceNumber, Part, Response, SendFlags,
    SessionNumber, SharedCredit, Str, decode_batch,
};

use super::client::Client;
use super::world::World;
use crate::hub::{BatchCredit, Remains, Trunk};
use crate::reply;
use crate::shard::command::Command;
use crate::sid::Sid;

/// The number of the namespace `/` in every app server of these tests.
pub(super) const MAIN: NamespaceNumber = NamespaceNumber(1);

/// An app server, at the other end of its trunk.
#[derive(Clone)]
pub(super) struct App {
    pub(super) trunk: Arc<Trunk>,
}

impl World {
    /// Connects an app server that has plenty of credit to give.
    pub(super) fn app(&mut self, name: &str) -> App {
        self.app_with_credit(name, 1 << 30)
    }

    pub(super) fn app_with_credit(&mut self, name: &str, credit: u32) -> App {
        let number = u32::try_from(self.apps.len()).expect("few") + 1;
        let hello = (name.to_owned(), "test".to_owned());
        let hub = Arc::clone(&self.hub);
        let settings = self.settings.clone();
        let credit = Arc::new(SharedCredit::new(credit));
        let said = (settings, self.own.clone());
        let trunk = Trunk::new(number, hub, hello, (self.origin, None), said, credit, self.now);
        let trunk = Arc::new(trunk);
        self.apps.push(Arc::clone(&trunk));
        let (known, mut is_known) = reply::pair();
        self.tell(Command::TrunkUp(Arc::clone(&trunk), known));
        assert!(is_known.try_recv().is_ok(), "the word comes when the shard knows the trunk");
        self.env.directory.trunk_up(&trunk);
        let app = App { trunk };
        self.app_says(&app, [Frame::Namespace { nsp: MAIN, name: "/".into() }]);
        app
    }

    /// Sends one batch, in a turn of its own.
    pub(super) fn app_says<const N: usize>(&mut self, app: &App, frames: [Frame; N]) {
        self.app_says_all(app, frames.into());
    }

    pub(super) fn app_says_all(&mut self, app: &App, frames: Vec<Frame>) {
        self.app_says_first(app, frames);
        self.run();
    }

    /// Sends a batch like [`Self::app_says_all`], but takes only the turn in which it arrives.
    pub(super) fn app_says_first(&mut self, app: &App, frames: Vec<Frame>) {
        let bytes = frames.iter().filter_map(Frame::data_cost).map(u64::from).sum();
        let trunk = Arc::clone(&app.trunk);
        trunk.heard(self.now);
        let command = Command::Batch {
            trunk: trunk.number,
            frames,
            credit: Arc::new(BatchCredit { trunk, bytes }),
        };
        self.shard.take_turn(self.now, command);
    }

    pub(super) fn app_accepts(&mut self, app: &App, number: SessionNumber) {
        self.app_says(app, [accept(number)]);
    }

    pub(super) fn app_rejects(&mut self, app: &App, number: SessionNumber, status: u16) {
        let response = Response { status, headers: Vec::new(), body: Bytes::new() };
        self.app_says(app, [Frame::Reject { session: number, response }]);
    }

    pub(super) fn app_sends(&mut self, app: &App, client: &Client, text: &str) {
        self.app_says(app, [send(client.number, text)]);
    }

    pub(super) fn app_closes(&mut self, app: &App, number: SessionNumber) {
        self.app_says(app, [close(number, CloseReason::AppClosed)]);
    }

    /// Attaches a socket of the client's session to the namespace `/`, in these rooms.
    pub(super) fn app_attaches(
        &mut self,
        app: &App,
        client: &Client,
        socket: &str,
        rooms: &[&str],
    ) {
        let rooms = rooms.iter().map(|room| Str::from(*room)).collect();
        let socket = socket.into();
        self.app_says(app, [Frame::Attach { session: client.number, nsp: MAIN, socket, rooms }]);
    }

    pub(super) fn app_grants(&mut self, app: &App, bytes: u32) -> Option<bool> {
        if !app.trunk.credit.grant(bytes) {
            return None;
        }
        let (reply, mut served) = reply::pair();
        self.tell(Command::CreditReturned { trunk: app.trunk.number, reply });
        served.try_recv().ok()
    }

    pub(super) fn app_goes(&mut self, app: &App) {
        self.app_dies(app, Remains::default());
    }

    /// Ends the trunk; `remains` is what its app server had not handled.
    pub(super) fn app_dies(&mut self, app: &App, remains: Remains) {
        self.env.directory.trunk_down(&app.trunk);
        let remains = Arc::new(remains);
        self.tell(Command::TrunkDown { trunk: app.trunk.number, remains });
    }
}

impl App {
    /// The frames that arrived over the trunk since the last call.
    pub(super) fn frames(&self) -> Vec<Frame> {
        let outbox = self.trunk.take_outbox().0.freeze();
        decode_batch(outbox).map(|frame| frame.expect("our own encoding")).collect()
    }

    /// What the node writes to the trunk now, as one batch.
    pub(super) fn batch(&self) -> Bytes {
        self.trunk.take_outbox().0.freeze()
    }

    /// The frames that arrived over the trunk since the last call, in words.
    pub(super) fn hears(&self) -> Vec<String> {
        self.frames().iter().map(words).collect()
    }

    /// The session that a client asks to open.
    pub(super) fn newcomer(&self) -> (SessionNumber, Sid) {
        let frames = self.frames();
        let mut opens = frames
            .iter()
            .filter_map(|frame| if let Frame::Open(open) = frame { Some(open) } else { None });
        let open = opens.next().expect("a handshake is put before it");
        assert!(opens.next().is_none(), "only one handshake is put before it");
        (open.session, Sid::parse(&open.sid).expect("the node's own"))
    }

    /// The bytes of the app server's data that are returned to it as credit now.
    pub(super) fn takes_back(&self) -> u64 {
        self.trunk.take_processed()
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "others are rare enough to be shown as they are"
)]
fn words(frame: &Frame) -> String {
    match frame {
        Frame::Open(open) => format!("open {}", open.session.0),
        Frame::Message { session, payload, .. } => {
            format!("{}: {}", session.0, String::from_utf8_lossy(payload))
        }
        Frame::Close { session, reason, .. } => {
            format!("close {} {:?}", session.0, reason.reason())
        }
        Frame::Upgraded { session, .. } => format!("upgraded {}", session.0),
        Frame::Marked { session, mark, waiting_bytes } => {
            format!("marked {} {mark} {waiting_bytes}", session.0)
        }
        Frame::Proved { request_id, holds } => format!("proved {} {holds}", request_id.0),
        Frame::Adopt(adopt) => format!("adopt {}", adopt.session.0),
        Frame::Operate(operate) => {
            let join = |list: &[Str]| list.iter().map(Str::as_str).collect::<Vec<_>>().join(" ");
            format!("{:?} {}: {}", operate.op, join(&operate.rooms), join(&operate.args))
                .trim_end()
                .into()
        }
        Frame::Ping { .. } => "ping".into(),
        other => format!("{other:?}"),
    }
}

// Frames of app servers.

pub(super) fn accept(session: SessionNumber) -> Frame {
    accept_as(session, "")
}

/// Accepts a session with an id that the app made itself.
pub(super) fn accept_as(session: SessionNumber, sid: &str) -> Frame {
    Frame::Accept { session, sid: sid.into(), headers: Vec::new(), lasting: Vec::new() }
}

pub(super) fn send(session: SessionNumber, text: &str) -> Frame {
    let payload = Bytes::copy_from_slice(text.as_bytes());
    Frame::Send { session, flags: SendFlags::default(), payload }
}

pub(super) fn send_volatile(session: SessionNumber, text: &str) -> Frame {
    let payload = Bytes::copy_from_slice(text.as_bytes());
    let flags = SendFlags { volatile: true, ..SendFlags::default() };
    Frame::Send { session, flags, payload }
}

pub(super) fn close(session: SessionNumber, reason: CloseReason) -> Frame {
    Frame::Close { session, reason: reason.into(), description: Str::EMPTY }
}

/// A broadcast to all sockets of the namespace `/`, or to these rooms of it.
pub(super) fn broadcast(rooms: &[&str], text: &str) -> Frame {
    Frame::Broadcast(broadcast_of(rooms, &[], text))
}

pub(super) fn broadcast_of(rooms: &[&str], except: &[&str], text: &str) -> Broadcast {
    let names = |names: &[&str]| names.iter().map(|name| Str::from(*name)).collect();
    Broadcast {
        nsp: MAIN,
        flags: BroadcastFlags::default(),
        rooms: names(rooms),
        except: names(except),
        parts: vec![Part { binary: false, data: Bytes::copy_from_slice(text.as_bytes()) }],
    }
}
