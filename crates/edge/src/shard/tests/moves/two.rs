//! Two nodes and one app server, step by step.

use std::time::Duration;

use trunkline_mesh::{PeerKey, Str};
use trunkline_trunk::settings::{ConnectionStateRecovery, EngineSettings};
use trunkline_trunk::{CloseReason as WireReason, Frame, Origin, SessionNumber, State};

use crate::cluster::{Input, Inputs, MoveKey, MoveStep};
use crate::limits::Limits;
use crate::shard::ForeignStream;
use crate::shard::command::Command;
use crate::shard::tests::app::{App, MAIN, accept, close};
use crate::shard::tests::client::Client;
use crate::shard::tests::world::World;

pub(super) const OWNER: u16 = 100;
pub(super) const TAKER: u16 = 101;

/// The node that has the session, the one where its client's WebSocket is, and one app server with
/// a trunk to both.
pub(super) struct Two {
    pub(super) owner: World,
    pub(super) from_owner: Inputs,
    pub(super) taker: World,
    pub(super) from_taker: Inputs,
    pub(super) at_owner: App,
    pub(super) at_taker: App,
}

/// A session at its new node.
pub(super) struct Moved {
    pub(super) client: Client,
    pub(super) number: SessionNumber,
}

impl Two {
    pub(super) fn new() -> Self {
        Self::with(|_, _| ())
    }

    pub(super) fn recovering() -> Self {
        Self::with(|_, settings| {
            settings.connection_state_recovery = Some(ConnectionStateRecovery {
                max_disconnection: Duration::from_secs(120),
                skip_middlewares: true,
            });
        })
    }

    pub(super) fn with(change: impl Fn(&mut Limits, &mut EngineSettings)) -> Self {
        let node = |number| {
            let (mut world, inputs) = World::of_node(number, |limits, settings| {
                settings.numbers = true;
                change(limits, settings);
            });
            (world.own.moves, world.own.move_ends, world.own.rehome) = (true, true, true);
            (world, inputs)
        };
        let ((mut owner, from_owner), (mut taker, from_taker)) = (node(OWNER), node(TAKER));
        let (at_owner, at_taker) = (owner.numbering_app("p"), taker.numbering_app("p"));
        Self { owner, from_owner, taker, from_taker, at_owner, at_taker }
    }

    /// Another app server, with a trunk to both.
    pub(super) fn another(&mut self, name: &str) -> (App, App) {
        (self.owner.numbering_app(name), self.taker.numbering_app(name))
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.owner.pass(time);
        self.taker.pass(time);
    }

    /// Carries all steps to the other node. Returns them in words.
    pub(super) fn carry(&mut self) -> Vec<&'static str> {
        let mut said = Vec::new();
        loop {
            let before = said.len();
            while let Ok(input) = self.from_taker.try_recv() {
                let (id, step) = match input {
                    Input::BeginMove { id, asked, .. } => {
                        let node = Str::from_static("the taker");
                        (id, MoveStep::ProbeBegun { asked, node })
                    }
                    Input::Move { key, step } => (key.id, step),
                    Input::OwnIds
                    | Input::Command(_)
                    | Input::Find { .. }
                    | Input::Hubs(_)
                    | Input::Word { .. }
                    | Input::State(_)
                    | Input::Stop(_) => continue,
                };
                said.push(word(&step));
                let from = Some(PeerKey { number: TAKER, incarnation: 1 });
                self.owner.tell(Command::Move { key: MoveKey { from, id }, step });
            }
            while let Ok(input) = self.from_owner.try_recv() {
                let Input::Move { key, step } = input else { continue };
                said.push(word(&step));
                self.taker.tell(Command::Move { key: MoveKey { from: None, id: key.id }, step });
            }
            if said.len() == before {
                return said;
            }
        }
    }

    /// A client that polls at the owner and has a socket `s` in these rooms.
    pub(super) fn client(&mut self, rooms: &[&str]) -> Client {
        let client = self.owner.polling(&self.at_owner);
        self.owner.app_attaches(&self.at_owner, &client, "s", rooms);
        client
    }

    pub(super) fn opens_stream(&mut self, client: &Client, sid_text: &str) {
        client.writes("2probe");
        let stream = self.taker.adopted(&client.wire, b"");
        let foreign = ForeignStream {
            client: [127, 0, 0, 1].into(),
            asked: client.asked(),
            sid_text: sid_text.into(),
            trunk: self.at_taker.trunk.number,
            base64_only: false,
            stream,
        };
        self.taker.tell(Command::ForeignProbe(Box::new(foreign)));
    }

    /// Lets the client open its WebSocket at the other node and change to it.
    pub(super) fn changes(&mut self, client: &Client) {
        self.opens_stream(client, &client.sid.encode());
        assert_eq!(self.carry(), ["probe begun"]);
        assert_eq!(client.reads(), ["3probe"]);
        client.writes("5");
        self.taker.run();
    }

    /// The number of the session that the app server is asked to keep.
    pub(super) fn adopted(&self) -> SessionNumber {
        let frames = self.at_taker.frames();
        let adopts = frames
            .iter()
            .filter_map(|frame| if let Frame::Adopt(adopt) = frame { Some(adopt) } else { None });
        let adopts: Vec<_> = adopts.collect();
        assert_eq!(adopts.len(), 1, "{frames:?}");
        assert_eq!((adopts[0].origin, adopts[0].sockets.len()), (Origin::Moved, 0));
        adopts[0].session
    }

    /// Moves a session in the ordinary way.
    pub(super) fn moves(&mut self, client: Client) -> Moved {
        self.changes(&client);
        assert_eq!(self.carry(), ["take", "taken"]);
        assert_eq!(self.at_owner.hears(), [format!("close {} Moved", client.number.0)]);
        let number = self.adopted();
        self.owner.app_says(&self.at_owner, [close(client.number, WireReason::Moved)]);
        assert_eq!(self.carry(), ["export"]);
        self.taker.app_says(&self.at_taker, [accept(number)]);
        assert_eq!(self.carry(), ["arrived"]);
        assert_eq!(self.at_taker.hears(), [format!("upgraded {}", number.0)]);
        assert_eq!(self.owner.slots(), 0, "nothing of it stays");
        self.moved(client, number)
    }

    pub(super) fn moved(&self, client: Client, number: SessionNumber) -> Moved {
        let slot = self.taker.shard.slots.get(number.0).expect("it is there");
        let key = self.taker.shard.key_of(number.0, slot);
        let there = Client::new(key, number, client.sid, client.wire.clone());
        Moved { client: there.speaking(client.protocol), number }
    }
}

pub(super) fn word(step: &MoveStep) -> &'static str {
    match step {
        MoveStep::ProbeBegun { .. } => "probe begun",
        MoveStep::ProbeGone => "probe gone",
        MoveStep::Take(_) => "take",
        MoveStep::Taken => "taken",
        MoveStep::Export(_) => "export",
        MoveStep::Failed(_) => "failed",
        MoveStep::Arrived => "arrived",
    }
}

pub(super) fn state(session: SessionNumber) -> Frame {
    Frame::State(Box::new(State {
        session,
        nsp: MAIN,
        socket: "s".into(),
        pid: "pid".into(),
        state: bytes::Bytes::from_static(b"state"),
    }))
}
