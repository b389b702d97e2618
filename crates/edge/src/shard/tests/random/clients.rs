//! The operations of clients.

use trunkline_engineio::TransportKind;
use trunkline_trunk::SessionNumber;
use trunkline_websocket::Opcode;

use super::{CLIENTS_MAX, Play};
use crate::shard::command::{Answer, Command};
use crate::shard::tests::client::{Client, Handshake, Poll, Post, frame};
use crate::shard::tests::wire::Wire;

/// A client, from its handshake to its end.
pub(super) struct Player {
    pub(super) id: u32,
    pub(super) state: State,
    pub(super) polls: Vec<Poll>,
    pub(super) posts: Vec<Post>,
    /// Answers that the client has not read.
    pub(super) unread: Vec<Answer>,
    /// The number of packets of the upgrade that were sent over a second WebSocket, if there is
    /// one.
    pub(super) probe: Option<usize>,
    /// The number of the next message to the app, and of the next one that the app expects.
    pub(super) up: u32,
    pub(super) up_heard: u32,
    /// The number of the next message to the client, and of the next one that the client expects.
    pub(super) down: u32,
    pub(super) down_heard: u32,
    pub(super) news_heard: Option<u32>,
    pub(super) is_pinged: bool,
}

pub(super) enum State {
    Opening { handshake: Handshake, transport: TransportKind },
    Polling(Client),
    WebSocket(Client),
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
            polls: Vec::new(),
            posts: Vec::new(),
            unread: Vec::new(),
            probe: None,
            up: 0,
            up_heard: 0,
            down: 0,
            down_heard: 0,
            news_heard: None,
            is_pinged: false,
        });
        self.up_heard.insert(self.ids, 0);
    }

    /// Lets a client go, in one of the ways in which clients go.
    pub(super) fn client_goes(&mut self) {
        let place = self.choices.below(self.players.len());
        if place >= self.players.len() {
            return;
        }
        let way = self.choices.below(4);
        let mut player = self.players.swap_remove(place);
        match player.state {
            State::Opening { handshake, .. } => {
                if handshake.key.is_some() {
                    self.world.handshake_gone(handshake);
                }
            }
            State::Polling(client) => {
                match way {
                    0 => drop(self.world.post(&client, "1")),
                    1 => drop(self.world.post(&client, "x")),
                    _ => self.world.client_ends(&client),
                }
                if let Some(poll) = player.polls.pop() {
                    self.world.poll_gone(&client, poll);
                }
            }
            State::WebSocket(client) => {
                match way {
                    0 => client.wire.client_writes(&frame(Opcode::Close, &[])),
                    1 => client.wire.client_writes(&[0xff; 4]),
                    2 => client.wire.breaks(),
                    _ => client.wire.client_ends(),
                }
                self.world.run();
            }
        }
    }

    pub(super) fn player(&mut self) -> Option<usize> {
        let place = self.choices.below(self.players.len());
        (place < self.players.len()).then_some(place)
    }

    pub(super) fn client_polls(&mut self) {
        let Some(place) = self.player() else { return };
        let many = self.choices.below(16) == 0;
        let player = &mut self.players[place];
        let State::Polling(client) = &player.state else { return };
        if player.polls.is_empty() || many {
            player.polls.push(self.world.poll(client));
        }
    }

    pub(super) fn client_posts(&mut self) {
        let Some(place) = self.player() else { return };
        let (count, more) = (self.choices.below(4) + 1, self.choices.below(8));
        let player = &mut self.players[place];
        let State::Polling(client) = &player.state else { return };
        player.posts.retain_mut(|post| post.said() == "waits" && !post.is_cut());
        if !player.posts.is_empty() && more > 0 {
            return;
        }
        let mut post = self.world.begin_post(client);
        if more == 1 {
            post.is_begun();
            let fault = (count > 2).then_some("broken off");
            self.world.tell(Command::PostGone { key: client.key, fault });
            return;
        }
        let texts: Vec<_> =
            (player.up..).take(count).map(|number| format!("4u{} {number}", player.id)).collect();
        if self.world.finish_post(client, &mut post, &texts.join("\x1e")) != "waits"
            || post.is_under_way()
        {
            player.up += u32::try_from(count).expect("few");
        }
        if post.said() == "waits" {
            player.posts.push(post);
        }
    }

    pub(super) fn client_writes(&mut self) {
        let Some(place) = self.player() else { return };
        let (count, pings) = (self.choices.below(10), self.choices.below(3));
        let player = &mut self.players[place];
        let State::WebSocket(client) = &player.state else { return };
        for _ in 0..count {
            client.writes(&format!("4u{} {}", player.id, player.up));
            player.up += 1;
        }
        if pings == 0 {
            client.writes("3");
            client.wire.client_writes(&frame(Opcode::Ping, b"x"));
        }
        self.world.run();
    }

    pub(super) fn client_takes(&mut self) {
        let Some(place) = self.player() else { return };
        let room = [Some(0), Some(1), Some(100), Some(5_000), None][self.choices.below(5)];
        let player = &mut self.players[place];
        player.unread.clear();
        if let State::WebSocket(client) = &player.state {
            self.world.client_takes(client, room);
        }
    }

    pub(super) fn client_upgrades(&mut self) {
        let Some(place) = self.player() else { return };
        for _ in 0..=self.choices.below(4) {
            self.client_upgrades_further(place);
        }
    }

    pub(super) fn client_upgrades_further(&mut self, place: usize) {
        let way = self.choices.below(12);
        let player = &mut self.players[place];
        let State::Polling(client) = &mut player.state else { return };
        match player.probe {
            None => {
                client.wire = Wire::default();
                self.world.probe(client);
                player.probe = Some(0);
            }
            Some(_) if way == 0 => {
                self.world.client_ends(client);
                player.probe = None;
            }
            Some(0) => {
                self.world.client_says(client, "2probe");
                player.probe = Some(1);
            }
            Some(_) => {
                self.world.client_says(client, "5");
                player.probe = None;
                let upgraded = self
                    .world
                    .live(client)
                    .is_some_and(|live| live.session.transport() == TransportKind::WebSocket);
                if upgraded {
                    let client =
                        Client::new(client.key, client.number, client.sid, client.wire.clone());
                    player.state = State::WebSocket(client);
                }
            }
        }
    }

    /// Lets clients answer pings, and lets polling ones poll.
    pub(super) fn clients_do_as_they_should(&mut self) {
        for player in &mut self.players {
            match &player.state {
                State::Opening { .. } => (),
                State::Polling(client) => {
                    if player.polls.is_empty() {
                        player.polls.push(self.world.poll(client));
                    }
                    if std::mem::take(&mut player.is_pinged) && player.posts.is_empty() {
                        self.world.post(client, "3");
                    }
                }
                State::WebSocket(client) => {
                    if std::mem::take(&mut player.is_pinged) {
                        self.world.client_says(client, "3");
                    }
                }
            }
        }
    }

    /// Lets the client read its answers, or leave them unread. False when the client has gone.
    pub(super) fn look_at_player(&mut self, player: &mut Player, leaves_unread: bool) -> bool {
        if let State::Opening { handshake, transport } = &mut player.state {
            let sid_of = |text: &str| text.split('"').nth(3).and_then(crate::sid::Sid::parse);
            match (*transport, handshake.peek()) {
                (_, None) => return true,
                (TransportKind::Polling, Some(said)) => {
                    let Some(sid) = sid_of(&said) else { return false };
                    let key = handshake.key();
                    let client = Client::new(key, SessionNumber(key.slot), sid, Wire::default());
                    player.state = State::Polling(client);
                }
                (TransportKind::WebSocket, Some(said)) => {
                    if said != "switch" {
                        return false;
                    }
                    let key = handshake.key();
                    let sid = crate::sid::Sid {
                        node: 7,
                        shard: 0,
                        slot: key.slot,
                        secret: crate::sid::SidSecret([0; 15]),
                    };
                    let client = self.world.adopt(handshake, SessionNumber(key.slot), sid);
                    player.state = State::WebSocket(client);
                }
            }
        }
        let mut said = Vec::new();
        player.polls.retain_mut(|poll| match poll.take() {
            None => true,
            Some(answer) => {
                if let Answer::Payload(payload) = &answer {
                    let body = String::from_utf8_lossy(&payload.body).into_owned();
                    said.extend(body.split('\x1e').map(str::to_owned));
                }
                if leaves_unread {
                    player.unread.push(answer);
                }
                false
            }
        });
        if let State::WebSocket(client) | State::Polling(client) = &player.state {
            said.extend(client.reads());
        }
        for text in said {
            player.is_pinged |= text == "2";
            if let Some(rest) = text.strip_prefix("4d") {
                let number = rest.split(' ').next().and_then(|number| number.parse().ok());
                assert_eq!(number, Some(player.down_heard), "once and in order");
                player.down_heard += 1;
            } else if let Some(number) = text.strip_prefix("4n") {
                let number = number.parse().ok();
                assert!(number > player.news_heard, "{number:?} after {:?}", player.news_heard);
                player.news_heard = number;
            } else if let Some(number) = text.strip_prefix("4r") {
                let expected = self.returns.next.get_mut(&player.id).expect("it has a socket");
                assert_eq!(number.parse().ok(), Some(*expected), "every record, and in order");
                *expected += 1;
            }
        }
        true
    }
}
