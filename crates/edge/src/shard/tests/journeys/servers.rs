//! The app servers, and how they are lost.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use trunkline_trunk::{
    Adopt, CloseReason, Frame, NumberState, Response, SessionNumber, StandingFlags,
    State as SocketState, Str, decode_batch,
};

use super::{APPS_MAX, Play};
use crate::hub::Remains;
use crate::shard::tests::app::{App, MAIN, accept, broadcast, broadcast_of, close, send};

pub(super) struct Server {
    pub(super) app: App,
    /// Batches that were written to it and that it has not begun.
    batches: VecDeque<Bytes>,
    /// Batches that it has begun and not told to be done.
    undone: Vec<Bytes>,
    pub(super) uses: BTreeMap<u32, Use>,
    /// Numbers that it has closed and the node has not.
    closed: BTreeSet<u32>,
    /// Adoptions that it has not answered.
    later: Vec<Adopt>,
    /// What it will have said at the end of its turn.
    out: Vec<Out>,
    pub(super) is_leaving: bool,
}

/// A session at an app server.
#[derive(Debug)]
pub(super) struct Use {
    pub(super) player: u32,
    is_adopted: bool,
    /// Set once the node has received all about it.
    is_settled: bool,
    is_stateful: bool,
    owes: bool,
    told_owes: bool,
    /// Set when it asked to hand the session over, and when the node has agreed.
    asked: bool,
    agreed: bool,
}

enum Out {
    Frame(Frame),
    /// A message to the client of this number.
    Say(u32),
    News,
    Settled(u32),
}

fn state(number: u32, player: u32) -> Frame {
    Frame::State(Box::new(SocketState {
        session: SessionNumber(number),
        nsp: MAIN,
        socket: format!("s{player}").as_str().into(),
        pid: format!("p{player}").as_str().into(),
        state: Bytes::from_static(b"state"),
    }))
}

impl Server {
    fn says(&mut self, frame: Frame) {
        self.out.push(Out::Frame(frame));
    }

    /// Takes what the node has written.
    fn receives(&mut self) {
        let batch = self.app.batch();
        if !batch.is_empty() {
            self.batches.push_back(batch);
        }
    }
}

impl Play<'_> {
    pub(super) fn server_comes(&mut self) {
        if self.servers.len() >= APPS_MAX {
            return;
        }
        self.servers_ever += 1;
        let credit = [60, 1 << 30][self.choices.below(2)];
        let app = self.world.app_with_credit(&format!("app{}", self.servers_ever), credit);
        self.world.app_says(&app, [Frame::Number { next: 1 }]);
        self.servers.push(Server {
            app,
            batches: VecDeque::new(),
            undone: Vec::new(),
            uses: BTreeMap::new(),
            closed: BTreeSet::new(),
            later: Vec::new(),
            out: Vec::new(),
            is_leaving: false,
        });
    }

    fn server(&mut self) -> Option<usize> {
        let place = self.choices.below(self.servers.len());
        (place < self.servers.len()).then_some(place)
    }

    pub(super) fn server_begins_a_batch(&mut self) {
        if let Some(place) = self.server() {
            self.begins_a_batch(place);
        }
    }

    /// Handles the next batch. False when there is none.
    pub(super) fn begins_a_batch(&mut self, place: usize) -> bool {
        let server = &mut self.servers[place];
        server.receives();
        let Some(batch) = server.batches.pop_front() else { return false };
        server.undone.push(batch.clone());
        for frame in decode_batch(batch) {
            // It may die within a batch, but not while everything is to come to rest.
            if self.choices.below(40) == 39 {
                self.server_dies_at(place, true);
                return false;
            }
            self.handles(place, frame.expect("our own encoding"));
        }
        true
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "no other frame is about a session")]
    fn handles(&mut self, place: usize, frame: Frame) {
        let way = self.choices.below(24);
        let is_elsewhere = |number: u32, servers: &[Server]| {
            servers.iter().any(|server| server.uses.contains_key(&number))
        };
        match frame {
            Frame::Open(open) => {
                let number = open.session.0;
                assert!(!is_elsewhere(number, &self.servers), "{number}: two homes");
                let player = self.players.iter().find(|player| player.is_in(number));
                let player = player.map_or(0, |player| player.id);
                let server = &mut self.servers[place];
                if way == 0 {
                    let response =
                        Response { status: 401, headers: Vec::new(), body: Bytes::new() };
                    return server.says(Frame::Reject { session: open.session, response });
                }
                server.says(accept(open.session));
                let socket: Str = format!("s{player}").as_str().into();
                let rooms = vec!["room".into()];
                server.says(Frame::Attach { session: open.session, nsp: MAIN, socket, rooms });
                let is_stateful = way > 2;
                if is_stateful {
                    server.says(state(number, player));
                }
                server.begins(number, player, is_stateful);
            }
            Frame::Adopt(adopt) => {
                let number = adopt.session.0;
                assert!(!is_elsewhere(number, &self.servers), "{number}: two homes");
                let server = &mut self.servers[place];
                match way {
                    0 => {
                        server.closed.insert(number);
                        server.says(close(adopt.session, CloseReason::AppClosed));
                    }
                    1 if server.is_leaving => {
                        server.closed.insert(number);
                        server.says(close(adopt.session, CloseReason::HandedOver));
                    }
                    1..=5 => server.later.push(*adopt),
                    _ => self.adopts(place, &adopt),
                }
            }
            Frame::Message { session, payload, .. } => {
                let server = &mut self.servers[place];
                let Some(one) = server.uses.get_mut(&session.0) else {
                    assert!(server.closed.contains(&session.0), "{session:?} speaks");
                    return;
                };
                assert!(!one.agreed, "{one:?}: nothing comes after the node's close");
                one.owes |= way < 3;
                let id = one.player;
                if way.is_multiple_of(2) {
                    server.out.push(Out::Say(session.0));
                }
                let player = self.players.iter_mut().find(|player| player.id == id);
                if let Some(player) = player {
                    let text = String::from_utf8_lossy(&payload);
                    let expected = format!("u{id} {}", player.handled);
                    assert_eq!(text, expected, "handled once and in order");
                    player.handled += 1;
                }
            }
            Frame::Close { session, reason, .. } => {
                let server = &mut self.servers[place];
                if server.closed.remove(&session.0) {
                    return;
                }
                if reason.reason() == CloseReason::HandedOver {
                    let one = server.uses.get_mut(&session.0).expect("a session is given back");
                    assert!(one.asked && !one.agreed, "{one:?}: nobody asked");
                    one.agreed = true;
                    return;
                }
                let asked = server.later.len();
                server.later.retain(|adopt| adopt.session != session);
                if server.uses.remove(&session.0).is_none() && server.later.len() == asked {
                    return; // It crossed a `Reject`.
                }
                server.says(close(session, CloseReason::AppClosed));
            }
            _ => (),
        }
    }

    /// Takes a session over.
    fn adopts(&mut self, place: usize, adopt: &Adopt) {
        let number = adopt.session.0;
        let fresh = self.choices.below(2) == 0;
        let player = self.players.iter().find(|player| player.is_in(number));
        let player = player.map_or(0, |player| player.id);
        let server = &mut self.servers[place];
        for one in &adopt.sockets {
            assert_eq!((&*one.state, one.rooms.len()), (&b"state"[..], 1));
            let (socket, rooms) = (one.socket.clone(), one.rooms.clone());
            assert!(player == 0 || *socket == *format!("s{player}"), "{socket:?} is another's");
            server.says(Frame::Attach { session: adopt.session, nsp: MAIN, socket, rooms });
        }
        if fresh && player > 0 {
            server.says(state(number, player));
        }
        server.says(accept(adopt.session));
        server.begins(number, player, true);
        server.uses.entry(number).and_modify(|one| one.is_adopted = true);
    }

    pub(super) fn server_ends_its_turn(&mut self) {
        if let Some(place) = self.server() {
            self.ends_turn(place);
        }
    }

    /// Sends what the app server has said in this turn; its batches are done.
    pub(super) fn ends_turn(&mut self, place: usize) {
        let later = std::mem::take(&mut self.servers[place].later);
        for adopt in later {
            if self.choices.below(3) == 0 {
                self.adopts(place, &adopt);
            } else {
                self.servers[place].later.push(adopt);
            }
        }
        let server = &mut self.servers[place];
        server.stands();
        if server.is_leaving {
            let gone = server.hands_over();
            for player in self.players.iter_mut().filter(|player| gone.contains(&player.id)) {
                player.stayed(self.world.now, false);
            }
        }
        let mut frames = Vec::new();
        for out in std::mem::take(&mut server.out) {
            match out {
                Out::Frame(frame) => {
                    if let Frame::Attach { session, .. } = &frame {
                        let is_in = |player: &&mut super::Player| player.is_in(session.0);
                        if let Some(player) = self.players.iter_mut().find(is_in) {
                            player.news_heard.get_or_insert(self.news);
                        }
                    }
                    frames.push(frame);
                }
                Out::Say(number) => {
                    let id = server.uses.get(&number).map(|one| one.player);
                    let player = self.players.iter_mut().find(|player| Some(player.id) == id);
                    if let Some(player) = player {
                        frames.push(send(SessionNumber(number), &format!("d{}", player.down)));
                        player.down += 1;
                    }
                }
                Out::News => {
                    let news = broadcast(&["room"], &format!("n{}", self.news));
                    self.news += 1;
                    frames.push(news);
                }
                Out::Settled(number) => {
                    if let Some(one) = server.uses.get_mut(&number) {
                        one.is_settled = true;
                        let is_its = |player: &&mut super::Player| player.id == one.player;
                        let player = self.players.iter_mut().find(is_its);
                        if let Some(player) = player.filter(|_| one.is_adopted) {
                            player.taken_over = Some(self.world.now);
                        }
                    }
                }
            }
        }
        server.undone.clear();
        let (app, is_over) = (server.app.clone(), server.is_over());
        self.world.app_says_all(&app, frames);
        self.world.app_grants(&app, 100);
        if is_over {
            self.server_dies_at(place, true);
        }
    }

    pub(super) fn server_broadcasts(&mut self) {
        let Some(place) = self.server() else { return };
        let local = self.choices.below(4) == 0;
        let server = &mut self.servers[place];
        if local {
            let ids = server.uses.values().map(|one| one.player.to_string());
            let ids: Vec<_> = ids.collect();
            let mut own = broadcast_of(&[], &[], &format!("l{}", ids.join(",")));
            own.flags.local = true;
            server.says(Frame::Broadcast(own));
        } else {
            server.out.push(Out::News);
        }
    }

    /// Lets an app server give the acknowledgements that it owes.
    pub(super) fn server_pays(&mut self) {
        if let Some(place) = self.server() {
            self.pays(place);
        }
    }

    pub(super) fn pays(&mut self, place: usize) {
        self.servers[place].uses.values_mut().for_each(|one| one.owes = false);
    }

    pub(super) fn server_closes(&mut self) {
        let Some(place) = self.server() else { return };
        let at = self.choices.below(self.servers[place].uses.len());
        let server = &mut self.servers[place];
        let number = server.uses.iter().filter(|(_, one)| one.is_settled).nth(at);
        let Some((&number, _)) = number else { return };
        let one = server.uses.remove(&number).expect("it was found");
        if !one.agreed {
            server.closed.insert(number);
        }
        server.says(close(SessionNumber(number), CloseReason::AppClosed));
    }

    pub(super) fn server_begins_to_leave(&mut self) {
        let Some(place) = self.server() else { return };
        let server = &mut self.servers[place];
        server.is_leaving = true;
        server.app.trunk.set_draining();
    }

    pub(super) fn server_dies(&mut self, is_certain: bool) {
        if let Some(place) = self.server() {
            self.server_dies_at(place, is_certain);
        }
    }

    /// Loses an app server. `is_certain`: its process has ended, so it did no more than it told.
    pub(super) fn server_dies_at(&mut self, place: usize, is_certain: bool) {
        let mut server = self.servers.swap_remove(place);
        if self.choices.below(2) == 0 {
            server.receives();
        }
        let (mut doubtful, mut unbegun) = (server.undone, Vec::from(server.batches));
        if !is_certain {
            doubtful.append(&mut unbegun);
        }
        // It may have said of the next batch before it came that it is begun.
        let says_ahead = is_certain && !unbegun.is_empty() && self.choices.below(2) == 0;
        let ahead = says_ahead.then(|| unbegun.remove(0));
        let in_doubt = in_doubt(doubtful.iter().chain(&ahead));
        // Those that are still in the hands of the app server, as far as both ends know.
        let settled = server.uses.iter().filter(|(number, one)| {
            let slot = self.world.shard.slots.get(**number);
            let player = self.players.iter().find(|player| player.id == one.player);
            let client = player.and_then(super::Player::client);
            let is_open = client.is_some_and(|client| {
                self.world.live(client).is_some_and(|live| !live.session.is_closed())
            });
            one.is_settled
                && is_open
                && slot.is_some_and(|slot| slot.trunk == server.app.trunk.number)
        });
        let settled: Vec<(u32, u32, bool)> = settled
            .map(|(number, one)| {
                let is_lost = in_doubt.contains(number) || one.told_owes || !one.is_stateful;
                (*number, one.player, !is_lost)
            })
            .collect();
        // Also those that it has closed and not told: the node knows nothing of that.
        let mut causes = BTreeSet::new();
        for player in &mut self.players {
            let Some(number) = player.client().map(|client| client.key.slot) else { continue };
            let is_here = self.world.shard.slots.get(number).is_some_and(|slot| {
                slot.trunk == server.app.trunk.number
                    && matches!(slot.number, NumberState::Open | NumberState::Leaving)
            });
            if is_here && player.stayed(self.world.now, !server.is_leaving) {
                causes.insert(player.id);
            }
        }
        self.world.app_dies(&server.app, Remains { doubtful, ahead, unbegun, incomplete: false });
        for (number, player, survives) in settled {
            let survives = survives && !causes.contains(&player);
            let slot = self.world.shard.slots.get(number);
            let is_between = slot.is_some_and(crate::shard::Slot::is_between);
            assert_eq!(is_between, survives, "{number}: {:?}", slot.map(|slot| slot.number));
        }
    }
}

/// The numbers of sessions with a message in these batches.
#[expect(clippy::wildcard_enum_match_arm, reason = "no other frame brings a message or a session")]
fn in_doubt<'a>(batches: impl Iterator<Item = &'a Bytes>) -> BTreeSet<u32> {
    let mut numbers = BTreeSet::new();
    for frame in batches.cloned().flat_map(decode_batch).map_while(Result::ok) {
        match frame {
            Frame::Message { session, .. } => drop(numbers.insert(session.0)),
            // What came before was about an earlier session.
            Frame::Open(open) => drop(numbers.remove(&open.session.0)),
            Frame::Adopt(adopt) => drop(numbers.remove(&adopt.session.0)),
            _ => (),
        }
    }
    numbers
}

impl Server {
    fn begins(&mut self, number: u32, player: u32, is_stateful: bool) {
        let one = Use {
            player,
            is_adopted: false,
            is_settled: false,
            is_stateful,
            owes: false,
            told_owes: false,
            asked: false,
            agreed: false,
        };
        let before = self.uses.insert(number, one);
        assert!(before.is_none(), "{number} is in use: {before:?}");
        self.out.push(Out::Settled(number));
    }

    /// Tells what has changed about what it owes.
    fn stands(&mut self) {
        for (number, one) in &mut self.uses {
            if one.owes != one.told_owes {
                one.told_owes = one.owes;
                let flags =
                    StandingFlags { owes: one.owes, leaves: one.asked, ..Default::default() };
                let session = SessionNumber(*number);
                self.out.push(Out::Frame(Frame::Standing { session, flags }));
            }
        }
    }

    /// Asks to hand sessions over, and hands over those for which the node has agreed.
    /// Returns the players of these.
    fn hands_over(&mut self) -> Vec<u32> {
        let (mut gone, mut players) = (Vec::new(), Vec::new());
        for (number, one) in &mut self.uses {
            let session = SessionNumber(*number);
            if !one.is_settled || one.owes {
                continue;
            }
            if one.agreed {
                self.out.push(Out::Frame(state(*number, one.player)));
                self.out.push(Out::Frame(close(session, CloseReason::HandedOver)));
                gone.push(*number);
                players.push(one.player);
            } else if !one.is_stateful {
                self.out.push(Out::Frame(close(session, CloseReason::AppShutdown)));
                self.closed.insert(*number);
                gone.push(*number);
            } else if !one.asked {
                one.asked = true;
                let flags = StandingFlags { leaves: true, ..StandingFlags::default() };
                self.out.push(Out::Frame(Frame::Standing { session, flags }));
            }
        }
        for number in gone {
            self.uses.remove(&number);
        }
        players
    }

    /// Whether it has handed over everything and may end its process.
    fn is_over(&self) -> bool {
        self.is_leaving && self.uses.is_empty() && self.later.is_empty()
    }
}
