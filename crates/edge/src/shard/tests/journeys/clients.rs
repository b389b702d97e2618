//! The clients: they speak, listen and go.

use trunkline_clock::Timestamp;
use trunkline_engineio::TransportKind;
use trunkline_trunk::SessionNumber;

use super::{CLIENTS_MAX, Play};
use crate::shard::tests::client::{Client, Handshake, Poll, Post};
use crate::shard::tests::wire::Wire;
use crate::sid::{Sid, SidSecret};

pub(super) struct Player {
    pub(super) id: u32,
    pub(super) state: State,
    /// The steps towards a WebSocket that it has taken.
    probed: u8,
    poll: Option<Poll>,
    post: Option<(Post, u32)>,
    /// Messages that it has said, and those that an app server has handled.
    pub(super) up: u32,
    pub(super) handled: u32,
    /// Messages that app servers have sent it, and those that it has received.
    pub(super) down: u32,
    pub(super) down_heard: u32,
    /// The number of broadcasts that it has received, counted from the first of all; `None` while it
    /// has no socket.
    pub(super) news_heard: Option<u32>,
    /// The time at which its last app server took its session over from another one.
    pub(super) taken_over: Option<Timestamp>,
    /// The app servers in a row that were lost soon after they had.
    pub(super) short_stays: u8,
}

pub(super) enum State {
    Opening { handshake: Handshake, transport: TransportKind },
    Polling(Client),
    WebSocket(Client),
}

impl Player {
    pub(super) fn client(&self) -> Option<&Client> {
        match &self.state {
            State::Opening { .. } => None,
            State::Polling(client) | State::WebSocket(client) => Some(client),
        }
    }

    /// Notes the end of its stay at an app server. True when it counts as the cause.
    pub(super) fn stayed(&mut self, until: Timestamp, is_lost: bool) -> bool {
        let seconds = |at: Timestamp| at.as_micros() / 1_000_000;
        let is_short = |since| seconds(until) - seconds(since) <= 10;
        if self.taken_over.is_some_and(is_short) {
            self.short_stays += u8::from(is_lost);
        } else {
            self.short_stays = 0;
        }
        self.short_stays == 2
    }

    /// Whether this is the player in a slot.
    pub(super) fn is_in(&self, slot: u32) -> bool {
        match &self.state {
            State::Opening { handshake, .. } => {
                handshake.key.as_ref().is_some_and(|key| key.get().slot == slot)
            }
            State::Polling(client) | State::WebSocket(client) => client.key.slot == slot,
        }
    }
}

impl Play<'_> {
    pub(super) fn client_comes(&mut self, transport: TransportKind) {
        if self.players.len() >= CLIENTS_MAX {
            return;
        }
        self.ids += 1;
        let handshake = self.world.handshake(transport);
        self.players.push(Player {
            id: self.ids,
            state: State::Opening { handshake, transport },
            probed: 0,
            poll: None,
            post: None,
            up: 0,
            handled: 0,
            down: 0,
            down_heard: 0,
            news_heard: None,
            taken_over: None,
            short_stays: 0,
        });
    }

    pub(super) fn client_goes(&mut self) {
        let place = self.choices.below(self.players.len());
        if place < self.players.len() {
            let player = self.players.swap_remove(place);
            self.goes(player);
        }
    }

    pub(super) fn goes(&mut self, player: Player) {
        match player.state {
            State::Opening { handshake, .. } => {
                if handshake.key.is_some() {
                    self.world.handshake_gone(handshake);
                }
            }
            State::Polling(client) => {
                drop(player.post);
                drop(self.world.post(&client, "1"));
                if let Some(poll) = player.poll {
                    self.world.poll_gone(&client, poll);
                }
                // It may be that nobody reads the close packet for now.
                let key = client.key;
                let gone = crate::shard::command::Command::PostGone { key, fault: Some("gone") };
                self.world.tell(gone);
            }
            State::WebSocket(client) => match self.choices.below(2) {
                0 => {
                    client.wire.breaks();
                    self.world.run();
                }
                _ => self.world.client_ends(&client),
            },
        }
    }

    pub(super) fn client_speaks(&mut self) {
        let place = self.choices.below(self.players.len());
        let count = u32::try_from(self.choices.below(4) + 1).expect("few");
        let Some(player) = self.players.get_mut(place) else { return };
        let texts = (player.up..).take(count as usize);
        let texts: Vec<_> = texts.map(|number| format!("4u{} {number}", player.id)).collect();
        match &player.state {
            State::Opening { .. } => (),
            State::WebSocket(client) => {
                for text in &texts {
                    client.writes(text);
                }
                player.up += count;
                self.world.run();
            }
            State::Polling(client) => {
                if player.post.is_none() {
                    player.post = Some((self.world.begin_post(client), count));
                }
            }
        }
    }

    /// Lets a client that polls take a step towards a WebSocket.
    pub(super) fn client_upgrades(&mut self) {
        let place = self.choices.below(self.players.len());
        let Some(player) = self.players.get_mut(place) else { return };
        let State::Polling(client) = &mut player.state else { return };
        if player.post.is_some() {
            return;
        }
        match player.probed {
            0 => {
                client.wire = Wire::default();
                self.world.probe(client);
            }
            1 => self.world.client_says(client, "2probe"),
            _ => {
                self.world.client_says(client, "5");
                let is_done = self
                    .world
                    .live(client)
                    .is_some_and(|live| live.session.transport() == TransportKind::WebSocket);
                if is_done {
                    let wire = client.wire.clone();
                    let client = Client::new(client.key, client.number, client.sid, wire);
                    player.state = State::WebSocket(client);
                }
            }
        }
        player.probed += 1;
    }

    /// Goes on with a post: sends its body once it is wanted.
    fn goes_on_with_post(&mut self, player: &mut Player) -> bool {
        let State::Polling(client) = &player.state else { return true };
        let Some((mut post, count)) = player.post.take() else { return true };
        if post.is_under_way() {
            if post.said() == "waits" {
                player.post = Some((post, count));
            }
            return true;
        }
        let texts = (player.up..).take(count as usize);
        let texts: Vec<_> = texts.map(|number| format!("4u{} {number}", player.id)).collect();
        let said = self.world.finish_post(client, &mut post, &texts.join("\x1e"));
        if post.is_under_way() {
            player.up += count;
        }
        if said == "waits" {
            player.post = Some((post, count));
        }
        !said.starts_with("refused")
    }

    /// Lets the client read. False when its session has ended.
    pub(super) fn look_at_player(&mut self, player: &mut Player) -> bool {
        if let State::Opening { handshake, transport } = &mut player.state {
            match (*transport, handshake.peek()) {
                (_, None) => return true,
                (TransportKind::Polling, Some(said)) => {
                    let sid = said.split('"').nth(3).and_then(Sid::parse);
                    let Some(sid) = sid else { return false };
                    let key = handshake.key();
                    let client = Client::new(key, SessionNumber(key.slot), sid, Wire::default());
                    player.state = State::Polling(client);
                }
                (TransportKind::WebSocket, Some(said)) => {
                    if said != "switch" {
                        return false;
                    }
                    let key = handshake.key();
                    let secret = SidSecret([0; 15]);
                    let sid = Sid { node: 7, shard: 0, slot: key.slot, secret };
                    let client = self.world.adopt(handshake, SessionNumber(key.slot), sid);
                    player.state = State::WebSocket(client);
                }
            }
        }
        let mut said = Vec::new();
        let mut lives = self.goes_on_with_post(player);
        match &player.state {
            State::Opening { .. } => (),
            State::Polling(client) => loop {
                let mut poll = player.poll.take().unwrap_or_else(|| self.world.poll(client));
                let answer = poll.said();
                if answer == "waits" {
                    player.poll = Some(poll);
                    break;
                }
                said.extend(answer.split('|').map(str::to_owned));
                if answer.starts_with("refused") || answer == "abort" || said.contains(&"1".into())
                {
                    lives = false;
                    break;
                }
            },
            State::WebSocket(client) => {
                if let Some(mut poll) = player.poll.take() {
                    // Answered before the upgrade, or by it.
                    said.extend(poll.said().split('|').map(str::to_owned));
                }
                said.extend(client.reads());
                lives &= !client.wire.has_ended();
            }
        }
        for text in said {
            self.hears(player, &text);
        }
        lives
    }

    fn hears(&mut self, player: &mut Player, text: &str) {
        let id = player.id;
        if let Some(number) = text.strip_prefix("4d") {
            assert_eq!(number.parse(), Ok(player.down_heard), "{id}: once and in order");
            player.down_heard += 1;
        } else if let Some(number) = text.strip_prefix("4n") {
            assert_eq!(number.parse().ok(), player.news_heard, "{id}: every broadcast once");
            player.news_heard = player.news_heard.map(|number| number + 1);
        } else if let Some(ids) = text.strip_prefix("4l") {
            let is_there = ids.split(',').any(|one| one.parse() == Ok(id));
            assert!(is_there, "{id}: a broadcast for the sockets of another app server: {ids}");
        }
    }
}
