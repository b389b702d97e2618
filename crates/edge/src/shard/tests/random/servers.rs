//! The operations of app servers.

use std::collections::HashMap;

use trunkline_trunk::encode::message_cost;
use trunkline_trunk::{CloseReason, Frame, SessionNumber};

use super::clients::{Player, State};
use super::{APPS_MAX, CREDIT, Play};
use crate::shard::tests::app::{App, MAIN, accept, broadcast, close, send};

/// An app server's knowledge about a session number.
#[derive(Debug)]
pub(super) struct Use {
    pub(super) player: u32,
    pub(super) accepted: bool,
    pub(super) app_closed: bool,
    pub(super) node_closed: bool,
    /// Set when the node has closed the number and the app server has not confirmed it.
    pub(super) owes_close: bool,
    /// Set while the socket is in the namespace.
    pub(super) attached: bool,
}

pub(super) struct Server {
    pub(super) app: App,
    pub(super) uses: HashMap<u32, Use>,
    /// Bytes of messages that the app server still accepts.
    pub(super) credit: i64,
    /// Bytes of data that the app server sent and that were not returned as credit.
    pub(super) sent: u64,
    /// The number of the app server's next broadcast.
    pub(super) next_number: u64,
}

impl Play<'_> {
    pub(super) fn server_comes(&mut self) {
        if self.servers.len() >= APPS_MAX {
            return;
        }
        self.servers_ever += 1;
        let app = self.world.app_with_credit(&format!("app{}", self.servers_ever), CREDIT);
        let credit = i64::from(CREDIT);
        self.servers.push(Server { app, uses: HashMap::new(), credit, sent: 0, next_number: 1 });
        self.says(self.servers.len() - 1, vec![Frame::Number { next: 1 }]);
    }

    pub(super) fn server_goes(&mut self, place: usize) {
        let server = self.servers.swap_remove(place);
        self.returns.server_gone_at.get_or_insert(self.world.now);
        self.world.app_goes(&server.app);
    }

    pub(super) fn says(&mut self, place: usize, frames: Vec<Frame>) {
        let server = &mut self.servers[place];
        server.sent += frames.iter().filter_map(Frame::data_cost).map(u64::from).sum::<u64>();
        let app = server.app.clone();
        self.world.app_says_all(&app, frames);
    }

    pub(super) fn server_answers_handshakes(&mut self) {
        for place in 0..self.servers.len() {
            let waiting: Vec<u32> = {
                let uses = self.servers[place].uses.iter();
                let mut waiting: Vec<u32> = uses
                    .filter(|(_, one)| !one.accepted && !one.app_closed && !one.owes_close)
                    .map(|(number, _)| *number)
                    .collect();
                waiting.sort_unstable();
                waiting
            };
            for number in waiting {
                let way = self.choices.below(8);
                let session = SessionNumber(number);
                let Some(one) = self.servers[place].uses.get_mut(&number) else { continue };
                match way {
                    0 => {
                        self.servers[place].uses.remove(&number);
                        let app = self.servers[place].app.clone();
                        self.world.app_rejects(&app, session, 401);
                    }
                    1 => {
                        one.app_closed = true;
                        self.says(place, vec![close(session, CloseReason::AppShutdown)]);
                    }
                    2 => (),
                    _ => {
                        one.accepted = true;
                        self.says(place, vec![accept(session)]);
                        self.look();
                        self.socket_joins(place, number);
                    }
                }
                self.look();
            }
        }
    }

    /// Chooses an app server, and a number that both ends have open.
    pub(super) fn open_number(&mut self) -> Option<(usize, u32, u32)> {
        let place = self.choices.below(self.servers.len());
        let uses = &self.servers.get(place)?.uses;
        let is_open = |one: &Use| one.accepted && !one.app_closed && !one.node_closed;
        let mut open: Vec<_> =
            uses.iter().filter(|(_, one)| is_open(one)).map(|(n, one)| (*n, one.player)).collect();
        open.sort_unstable();
        let at = self.choices.below(open.len());
        open.get(at).map(|(number, player)| (place, *number, *player))
    }

    pub(super) fn server_sends(&mut self) {
        let count = self.choices.below(5) + 1;
        let length = [1, 100, 3_000, 40_000][self.choices.below(4)];
        if self.choices.below(4) == 0 {
            let place = self.choices.below(self.servers.len());
            if place < self.servers.len() {
                self.news += 1;
                self.servers[place].next_number += 1;
                let news = broadcast(&[], &format!("n{}", self.news));
                self.says(place, vec![news]);
            }
            return;
        }
        let Some((place, number, id)) = self.open_number() else { return };
        let mut frames = Vec::new();
        let player = self.players.iter_mut().find(|player| player.id == id);
        if let Some(player) = player {
            for _ in 0..count {
                let text = format!("d{} {}", player.down, "x".repeat(length));
                frames.push(send(SessionNumber(number), &text));
                player.down += 1;
            }
        }
        self.says(place, frames);
    }

    /// Closes a session, or answers closes of the node.
    pub(super) fn server_closes(&mut self) {
        if self.choices.below(4) == 0
            && let Some((place, number, _)) = self.open_number()
        {
            if let Some(one) = self.servers[place].uses.get_mut(&number) {
                one.app_closed = true;
            }
            self.says(place, vec![close(SessionNumber(number), CloseReason::AppClosed)]);
            return;
        }
        for place in 0..self.servers.len() {
            self.answer_closes(place);
        }
    }

    pub(super) fn answer_closes(&mut self, place: usize) {
        let uses = &self.servers[place].uses;
        let mut owed: Vec<u32> =
            uses.iter().filter(|(_, one)| one.owes_close).map(|(number, _)| *number).collect();
        owed.sort_unstable();
        let mut frames = Vec::new();
        for number in owed {
            let one = self.servers[place].uses.remove(&number).expect("it owes a close");
            frames.extend(self.leaves_to_the_node(&one, number));
            frames.push(close(SessionNumber(number), CloseReason::AppClosed));
        }
        self.says(place, frames);
    }

    pub(super) fn server_grants(&mut self) {
        let place = self.choices.below(self.servers.len());
        let bytes = [1, 20, 50, 200][self.choices.below(4)];
        self.grant(place, bytes);
    }

    pub(super) fn grant(&mut self, place: usize, bytes: u32) {
        let Some(server) = self.servers.get_mut(place) else { return };
        server.credit += i64::from(bytes);
        let app = server.app.clone();
        self.world.app_grants(&app, bytes);
    }

    pub(super) fn server_says_something_rare(&mut self) {
        let what = self.choices.below(5);
        let Some((place, number, _)) = self.open_number() else { return };
        let session = SessionNumber(number);
        if what == 4
            && let Some(one) = self.servers[place].uses.get_mut(&number)
        {
            one.attached = false;
        }
        let rooms = || vec!["room".into(), "other".into()];
        self.says(
            place,
            vec![match what {
                0 => Frame::Mark { session, mark: 1, now: false },
                1 => Frame::Mark { session, mark: 2, now: true },
                2 => Frame::Join { session, nsp: MAIN, rooms: rooms() },
                3 => Frame::Leave { session, nsp: MAIN, rooms: rooms() },
                _ => Frame::Detach { session, nsp: MAIN },
            }],
        );
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "no other frame is about a number")]
    pub(super) fn look_at_server(&mut self, place: usize) {
        for frame in self.servers[place].app.frames() {
            let server = &mut self.servers[place];
            match frame {
                Frame::Open(open) => {
                    let number = open.session.0;
                    let asks = |player: &&Player| match &player.state {
                        State::Opening { handshake, .. } => {
                            handshake.key.as_ref().is_some_and(|key| key.get().slot == number)
                        }
                        State::Polling(_) | State::WebSocket(_) => false,
                    };
                    let player = self.players.iter().find(asks).map_or(0, |player| player.id);
                    let one = Use {
                        player,
                        accepted: false,
                        app_closed: false,
                        node_closed: false,
                        owes_close: false,
                        attached: false,
                    };
                    let before = server.uses.insert(number, one);
                    assert!(before.is_none(), "{number} is in use: {before:?}");
                }
                Frame::Close { session, .. } => {
                    let one = server.uses.get_mut(&session.0).expect("a number in use is closed");
                    assert!(!one.node_closed, "a number is closed once");
                    one.node_closed = true;
                    one.owes_close = !one.app_closed;
                    if one.app_closed {
                        server.uses.remove(&session.0);
                    }
                }
                Frame::Message { session, payload, .. } => {
                    server.credit -= i64::from(message_cost(session, payload.len()));
                    let one = server.uses.get(&session.0).expect("a number in use speaks");
                    assert!(one.accepted && !one.node_closed && !one.app_closed, "{one:?}");
                    let text = String::from_utf8_lossy(&payload);
                    let expected = self.up_heard.get_mut(&one.player).expect("a client is known");
                    assert_eq!(text, format!("u{} {expected}", one.player), "once and in order");
                    *expected += 1;
                }
                Frame::Upgraded { session, .. } | Frame::Marked { session, .. } => {
                    let one = server.uses.get(&session.0).expect("a number in use speaks");
                    assert!(one.accepted && !one.node_closed && !one.app_closed, "{one:?}");
                }
                Frame::RestoredAt(restored) => self.is_restored(place, *restored),
                Frame::Proved { request_id, .. } => {
                    assert!(self.returns.asked.remove(&request_id.0).is_some(), "nobody asked");
                }
                _ => (),
            }
        }
        assert!(self.returns.asked.is_empty(), "whoever asks is answered");
        let server = &mut self.servers[place];
        assert_eq!(server.app.trunk.has_credit(), server.credit > 0, "credit {}", server.credit);
        assert_eq!(server.app.takes_back(), server.sent, "all of it was worked off");
        server.sent = 0;
    }
}
