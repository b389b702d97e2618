//! Sessions that go from one app server to another: those of a lost app server, and those of one
//! that hands them over.

mod adoption;
mod bounds;
mod doubt;
mod leaving;
mod older;
mod operations;
mod poison;
mod waiting;

use std::time::Duration;

use bytes::Bytes;
use trunkline_trunk::settings::ConnectionStateRecovery;
use trunkline_trunk::{Adopt, Frame, SessionNumber, StandingFlags, State, Str};

use super::app::{App, MAIN, accept};
use super::client::Client;
use super::world::World;
use crate::limits::Limits;
use crate::metrics::Rehomed;

const KEEP: Duration = Duration::from_secs(120);

/// A world whose apps have connection state recovery and whose SDKs take part.
fn world() -> World {
    world_with(|_| ())
}

fn world_with(change: impl FnOnce(&mut Limits)) -> World {
    world_of_shard((0, 1), change)
}

fn world_of_shard(shard: (u8, u32), change: impl FnOnce(&mut Limits)) -> World {
    let mut world = World::of_shard(shard, |limits, settings| {
        settings.numbers = true;
        settings.connection_state_recovery =
            Some(ConnectionStateRecovery { max_disconnection: KEEP, skip_middlewares: true });
        change(limits);
    });
    world.own.rehome = true;
    world
}

impl World {
    /// A client with a WebSocket and a socket in `/` whose state is kept.
    fn settled(&mut self, app: &App, socket: &str, rooms: &[&str]) -> Client {
        let client = self.websocket(app);
        self.settle(app, &client, socket, rooms);
        client
    }

    /// Gives a client a socket whose state is kept.
    fn settle(&mut self, app: &App, client: &Client, socket: &str, rooms: &[&str]) {
        self.app_attaches(app, client, socket, rooms);
        self.app_says(app, [state(client.number, socket, "state")]);
    }

    /// Lets the app server take a session over: attaches its sockets as they were, and accepts.
    fn takes_over(&mut self, app: &App, adopt: &Adopt) {
        let mut frames = attaches(adopt);
        frames.push(accept(adopt.session));
        self.app_says_all(app, frames);
    }

    /// Lets the app server take over the only session that it is asked to.
    fn takes_over_one(&mut self, app: &App) -> Adopt {
        let adopt = app.adopt();
        self.takes_over(app, &adopt);
        adopt
    }

    fn waiting(&self) -> i64 {
        self.env.metrics.homes_waiting.get()
    }

    fn rehomed(&self, origin: &'static str, outcome: &'static str) -> u64 {
        self.env.metrics.rehomed.get_or_create(&Rehomed { origin, outcome }).get()
    }
}

impl App {
    /// The sessions that the app server is asked to take over since the last call.
    fn adopts(&self) -> Vec<Adopt> {
        let adopts = self
            .frames()
            .into_iter()
            .filter_map(|frame| if let Frame::Adopt(adopt) = frame { Some(*adopt) } else { None });
        adopts.collect()
    }

    /// The only one of them.
    fn adopt(&self) -> Adopt {
        let mut adopts = self.adopts();
        assert_eq!(adopts.len(), 1, "{adopts:?}");
        adopts.remove(0)
    }
}

fn attaches(adopt: &Adopt) -> Vec<Frame> {
    let attach = |one: &trunkline_trunk::Adopted| Frame::Attach {
        session: adopt.session,
        nsp: MAIN,
        socket: one.socket.clone(),
        rooms: one.rooms.clone(),
    };
    adopt.sockets.iter().map(attach).collect()
}

/// The state of a socket, with the private id `p-<socket>`.
fn state(session: SessionNumber, socket: &str, state: &str) -> Frame {
    Frame::State(Box::new(State {
        session,
        nsp: MAIN,
        socket: socket.into(),
        pid: pid(socket),
        state: Bytes::copy_from_slice(state.as_bytes()),
    }))
}

fn pid(socket: &str) -> Str {
    format!("p-{socket}").as_str().into()
}

fn standing(client: &Client, flags: StandingFlags) -> Frame {
    Frame::Standing { session: client.number, flags }
}

fn owes() -> StandingFlags {
    StandingFlags { owes: true, ..StandingFlags::default() }
}

fn leaves() -> StandingFlags {
    StandingFlags { leaves: true, ..StandingFlags::default() }
}
