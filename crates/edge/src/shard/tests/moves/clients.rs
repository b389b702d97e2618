//! The clients: they poll, change to a WebSocket at some node, and check what they get.

use trunkline_engineio::TransportKind;
use trunkline_trunk::SessionNumber;

use super::Net;
use crate::shard::ForeignStream;
use crate::shard::command::Command;
use crate::shard::tests::client::{Client, Handshake, Poll};
use crate::shard::tests::wire::Wire;
use crate::sid::Sid;

/// One client.
pub(super) struct Player {
    /// Where it polls.
    pub(super) node: usize,
    /// Where its WebSocket is.
    pub(super) far: Option<usize>,
    pub(super) state: State,
    pub(super) sid: String,
    pub(super) server: Option<usize>,
    /// The messages of its own app server that it has got.
    pub(super) got: Vec<u32>,
    /// The last message of each app server, and its place among those to all.
    last: Vec<(Option<u32>, Option<usize>)>,
    /// Messages that it has sent.
    pub(super) sent: u32,
}

pub(super) enum State {
    Opening(Handshake),
    Polling {
        client: Client,
        poll: Option<Poll>,
    },
    /// Polls, and probes.
    Probing {
        client: Client,
        poll: Option<Poll>,
    },
    /// Has stopped polling, but for the poll that is held.
    Pausing {
        client: Client,
        poll: Option<Poll>,
    },
    Upgraded {
        client: Client,
    },
    Gone,
}

impl Player {
    pub(super) fn is_alive(&self) -> bool {
        !matches!(self.state, State::Gone | State::Opening(_))
    }

    pub(super) fn node_died(&mut self, node: usize) {
        let is_hit = match &self.state {
            State::Opening(_) | State::Polling { .. } => self.node == node,
            // A client that probes and loses either stream may go on; these give up.
            State::Probing { .. } | State::Pausing { .. } => {
                self.node == node || self.far == Some(node)
            }
            State::Upgraded { .. } => self.far == Some(node),
            State::Gone => false,
        };
        if is_hit {
            self.state = State::Gone;
        }
    }
}

impl Net {
    pub(super) fn client_comes(&mut self, node: usize) -> usize {
        let world = &mut self.nodes[node].world;
        world.now = self.now;
        let handshake = world.handshake(TransportKind::Polling);
        self.players.push(Player {
            node,
            far: None,
            state: State::Opening(handshake),
            sid: String::new(),
            server: None,
            got: Vec::new(),
            last: vec![(None, None); self.servers.len()],
            sent: 0,
        });
        self.players.len() - 1
    }

    /// Opens a WebSocket at this node for a session of another one, as the HTTP side does it.
    pub(super) fn client_probes(&mut self, place: usize, far: usize) {
        let Some(server) = self.players[place].server else { return };
        let Some(app) = self.nodes[far].trunks[server].clone() else { return };
        if !self.nodes[far].is_alive || self.players[place].node == far {
            return;
        }
        let player = &mut self.players[place];
        let State::Polling { .. } = player.state else { return };
        let State::Polling { client, poll } = std::mem::replace(&mut player.state, State::Gone)
        else {
            return;
        };
        player.far = Some(far);
        client.writes("2probe");
        let world = &mut self.nodes[far].world;
        world.now = self.now;
        let stream = world.adopted(&client.wire, b"");
        let foreign = ForeignStream {
            client: [127, 0, 0, 1].into(),
            asked: client.asked(),
            sid_text: player.sid.as_str().into(),
            trunk: app.trunk.number,
            base64_only: false,
            stream,
        };
        player.state = State::Probing { client, poll };
        self.tell(far, Command::ForeignProbe(Box::new(foreign)));
    }

    /// Sends the client's next message, over whatever it has.
    pub(super) fn client_says(&mut self, place: usize) {
        let (now, player) = (self.now, &mut self.players[place]);
        let text = format!("4u{}", player.sent);
        match &player.state {
            State::Polling { client, .. } | State::Probing { client, .. } => {
                let world = &mut self.nodes[player.node].world;
                world.now = now;
                if world.post(client, &text) == "ok" {
                    player.sent += 1;
                }
            }
            State::Upgraded { client } => {
                client.writes(&text);
                player.sent += 1;
                let world = &mut self.nodes[player.far.expect("it has upgraded")].world;
                world.now = now;
                world.run();
            }
            State::Opening(_) | State::Pausing { .. } | State::Gone => (),
        }
    }

    pub(super) fn client_goes(&mut self, place: usize) {
        let (now, player) = (self.now, &mut self.players[place]);
        let (node, far) = (player.node, player.far);
        match std::mem::replace(&mut player.state, State::Gone) {
            State::Opening(handshake) => {
                self.nodes[node].world.now = now;
                self.nodes[node].world.handshake_gone(handshake);
            }
            State::Polling { client, poll }
            | State::Probing { client, poll }
            | State::Pausing { client, poll } => {
                if let Some(poll) = poll {
                    self.nodes[node].world.now = now;
                    self.nodes[node].world.poll_gone(&client, poll);
                }
                if let Some(far) = far {
                    client.wire.client_ends();
                    self.nodes[far].world.run();
                }
            }
            State::Upgraded { client } => {
                client.wire.client_ends();
                self.nodes[far.expect("it has upgraded")].world.run();
            }
            State::Gone => (),
        }
    }

    /// Lets all clients read what came, and do what follows. True when one did something.
    pub(super) fn clients_react(&mut self) -> bool {
        let mut any = false;
        for place in 0..self.players.len() {
            any |= self.client_reacts(place);
        }
        any
    }

    fn client_reacts(&mut self, place: usize) -> bool {
        let now = self.now;
        let node = self.players[place].node;
        match std::mem::replace(&mut self.players[place].state, State::Gone) {
            State::Gone => false,
            State::Opening(mut handshake) => {
                let said = handshake.said();
                if said == "waits" {
                    self.players[place].state = State::Opening(handshake);
                    return false;
                }
                if !said.starts_with("0{") {
                    return true; // Refused.
                }
                let sid = said.split('"').nth(3).expect("its id").to_owned();
                let parsed = Sid::parse(&sid).expect("a node's");
                let key = handshake.key();
                let number = SessionNumber(key.slot);
                let client = Client::new(key, number, parsed, Wire::default());
                let owner = self.servers.iter().position(|one| one.conns.contains_key(&sid));
                let player = &mut self.players[place];
                player.sid.clone_from(&sid);
                player.server = owner;
                player.state = State::Polling { client, poll: None };
                self.sids.insert(sid, place);
                true
            }
            State::Polling { client, poll } => {
                let (poll, did) = self.polls(place, &client, poll, true);
                if let Some(poll) = poll {
                    self.players[place].state = State::Polling { client, poll: Some(poll) };
                }
                did
            }
            State::Probing { client, poll } => {
                let far_said = client.reads();
                if far_said.iter().any(|one| one == "3probe") {
                    self.players[place].state = State::Pausing { client, poll };
                    return true;
                }
                if client.wire.has_ended() || far_said.iter().any(|one| one.starts_with("close")) {
                    // The attempt has failed, and polling goes on.
                    let client =
                        Client::new(client.key, client.number, client.sid, Wire::default());
                    self.players[place].state = State::Polling { client, poll };
                    return true;
                }
                let (poll, did) = self.polls(place, &client, poll, true);
                if let Some(poll) = poll {
                    self.players[place].state = State::Probing { client, poll: Some(poll) };
                }
                did
            }
            State::Pausing { client, poll } => {
                let held = poll.is_some();
                let (poll, did) = self.polls(place, &client, poll, false);
                if poll.is_none() && held && !did {
                    return true; // The session is over.
                }
                if poll.is_some() {
                    self.players[place].state = State::Pausing { client, poll };
                    return did;
                }
                client.writes("5");
                let far = self.players[place].far.expect("it probes");
                let world = &mut self.nodes[far].world;
                world.now = now;
                world.run();
                self.players[place].state = State::Upgraded { client };
                true
            }
            State::Upgraded { client } => {
                let said = client.reads();
                let over =
                    client.wire.has_ended() || said.iter().any(|one| one.starts_with("close"));
                let did = !said.is_empty() || over;
                for packet in said {
                    if packet == "2" {
                        client.writes("3");
                        let far = self.players[place].far.expect("it has upgraded");
                        self.nodes[far].world.run();
                    }
                    self.client_gets(place, &packet);
                }
                if over {
                    client.wire.client_ends();
                    let far = self.players[place].far.expect("it has upgraded");
                    self.nodes[far].world.run();
                } else {
                    self.players[place].state = State::Upgraded { client };
                }
                let _ = node;
                did
            }
        }
    }

    /// Takes the answer of a held poll, and polls again. `None`: the session is over, or the client
    /// wants no other poll. The flag says whether an answer came.
    fn polls(
        &mut self,
        place: usize,
        client: &Client,
        poll: Option<Poll>,
        again: bool,
    ) -> (Option<Poll>, bool) {
        let now = self.now;
        let node = self.players[place].node;
        let mut did = false;
        if let Some(mut poll) = poll {
            let said = poll.said();
            if said == "waits" {
                return (Some(poll), false);
            }
            if said.starts_with("refused") || said.starts_with("status") || said == "abort" {
                return (None, false);
            }
            did = true;
            for packet in said.split('|') {
                if packet == "1" {
                    return (None, false);
                }
                if packet == "2" {
                    let world = &mut self.nodes[node].world;
                    world.now = now;
                    world.post(client, "3");
                }
                self.client_gets(place, packet);
            }
        }
        if !again {
            return (None, did);
        }
        let world = &mut self.nodes[node].world;
        world.now = now;
        (Some(world.poll(client)), true)
    }

    /// Checks a packet that a client has got.
    fn client_gets(&mut self, place: usize, packet: &str) {
        let Some(text) = packet.strip_prefix('4') else { return };
        let (server, number) = text.split_once('.').expect("an app server's");
        let (server, number): (usize, u32) = (server.parse().unwrap(), number.parse().unwrap());
        let player = &mut self.players[place];
        let sid = player.sid.clone();
        let (last, last_to_all) = player.last[server];
        assert!(last.is_none_or(|last| last < number), "{sid}: {last:?}, then {text}");
        let from = &self.servers[server];
        let to_all = from.to_all.binary_search(&number).ok();
        if let (Some(at), Some(before)) = (to_all, last_to_all) {
            assert!(from.is_lossy || at == before + 1, "{sid}: nothing of {server} is missing");
        }
        player.last[server] = (Some(number), to_all.or(last_to_all));
        if player.server == Some(server) {
            let expected = &from.conns[&sid].expected;
            let next = expected.get(player.got.len());
            assert_eq!(next, Some(&number), "{sid}: its own app server's, each once and in order");
            player.got.push(number);
        }
    }

    /// The last message of an app server that a client has got.
    pub(super) fn last_of(&self, place: usize, server: usize) -> Option<u32> {
        self.players[place].last[server].0
    }

    pub(super) fn other_node(&self, node: usize, choice: usize) -> usize {
        (node + 1 + choice % (self.nodes.len() - 1)) % self.nodes.len()
    }
}
