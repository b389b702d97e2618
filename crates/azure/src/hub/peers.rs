//! The same hub at the other nodes of the cluster: what this one says to each, in order and within
//! bounds (`spec/doors.md`).
//!
//! Of two nodes the one with the lower incarnation *leads*: it says `Hello`, and the other answers with
//! its own. Whoever loses its place after that (a word was dropped, too much waits, a word cannot be
//! read) forgets everything that hung on the stream, and has it begun again. So no word is ever missed
//! between two that are obeyed.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use trunkline_clock::Timestamp;
use trunkline_http::PeerNotice;
use trunkline_mesh::PeerKey;

use super::calls::Caller;
use super::outbox::TunnelId;
use super::{Hub, Now, Output};
use crate::peers::Word;

/// The bytes that one node may send to the other before the other has taken them.
pub(super) const WINDOW_BYTES: u64 = 512 << 10;
/// What a word costs of it, in addition to its own length.
const WORD_BYTES: u64 = 64;
/// The bytes that may wait for a node before one more word does. Beyond it, the stream is begun again.
const HELD_BYTES_MAX: usize = 8 << 20;
/// Beyond this, nothing is read from tunnels and callers, unless the node has taken nothing for
/// [`PATIENCE`]: it must not stop this one.
const CROWDED_BYTES: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(2);
/// The time after which a stream that lost its place is begun again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// All other nodes that this one knows.
#[derive(Debug, Default)]
pub(super) struct Peers {
    /// This node's life and present number.
    own: Option<(u64, u16)>,
    bus: bool,
    nodes: BTreeMap<PeerKey, Peer>,
    tunnels: u64,
}

/// One other node.
#[derive(Debug)]
pub(super) struct Peer {
    name: Box<str>,
    numbers: Vec<u16>,
    linked: bool,
    /// Whether its beats are heard.
    heard: bool,
    /// The number of the last word to it.
    said: u32,
    /// The bytes that it still lets this node send; below zero after a long word.
    credit: i64,
    held: VecDeque<Bytes>,
    held_bytes: usize,
    /// When it last gave credit, or when something began to wait.
    progress_at: Timestamp,
    /// The number of its next word; `None` until its `Hello`.
    expected: Option<u32>,
    /// The bytes that it has sent and does not know to be taken.
    owed: u64,
    again_at: Option<Timestamp>,
    /// The tunnels that end there, by the numbers that they have there.
    pub(super) tunnels: BTreeMap<u64, TunnelId>,
}

impl Peer {
    fn new(name: String, numbers: Vec<u16>) -> Self {
        Self {
            name: name.into(),
            numbers,
            linked: false,
            heard: true,
            said: 0,
            credit: 0,
            held: VecDeque::new(),
            held_bytes: 0,
            progress_at: Timestamp::ORIGIN,
            expected: None,
            owed: 0,
            again_at: None,
            tunnels: BTreeMap::new(),
        }
    }

    fn crowded_until(&self) -> Option<Timestamp> {
        let crowded = self.linked && self.heard && self.held_bytes > CROWDED_BYTES;
        crowded.then(|| self.progress_at + PATIENCE)
    }
}

impl Peers {
    /// Whether this node has nobody to ask.
    pub(super) fn is_alone(&self) -> bool {
        self.nodes.is_empty()
    }

    pub(super) fn all(&self) -> Vec<PeerKey> {
        self.nodes.keys().copied().collect()
    }

    pub(super) fn get(&self, key: PeerKey) -> Option<&Peer> {
        self.nodes.get(&key)
    }

    pub(super) fn get_mut(&mut self, key: PeerKey) -> Option<&mut Peer> {
        self.nodes.get_mut(&key)
    }

    /// The nodes that have or had this number.
    pub(super) fn with_number(&self, number: u16) -> impl Iterator<Item = PeerKey> {
        let with = self.nodes.iter().filter(move |(_, peer)| peer.numbers.contains(&number));
        with.map(|(key, _)| *key)
    }

    /// The number of a node's new sids; `None` stands for this node.
    pub(super) fn number_of(&self, key: Option<PeerKey>) -> u16 {
        match key {
            None => self.own.map_or(0, |(_, number)| number),
            Some(key) => self.get(key).and_then(|peer| peer.numbers.first()).copied().unwrap_or(0),
        }
    }

    pub(super) fn name_of(&self, key: PeerKey) -> Box<str> {
        self.get(key).map_or_else(|| "?".into(), |peer| peer.name.clone())
    }

    /// Whether the node can be asked something and will probably answer.
    pub(super) fn is_open(&self, key: PeerKey) -> bool {
        self.bus && self.get(key).is_some_and(|peer| peer.expected.is_some() && peer.heard)
    }

    /// A name for a tunnel of another node.
    pub(super) fn new_tunnel(&mut self) -> TunnelId {
        self.tunnels += 1;
        // Those that end here count from 1.
        TunnelId(1 << 63 | self.tunnels)
    }

    fn leads(&self, key: PeerKey) -> bool {
        self.own.is_some_and(|(incarnation, _)| incarnation < key.incarnation)
    }

    /// Whether so much waits for a node that takes words that nothing more should be read from tunnels
    /// and callers.
    pub(super) fn is_crowded(&self, now: Timestamp) -> bool {
        self.nodes.values().filter_map(Peer::crowded_until).any(|until| now < until)
    }

    pub(super) fn poll_deadline(&self, now: Timestamp) -> Option<Timestamp> {
        let again = self.nodes.values().filter_map(|peer| peer.again_at);
        let crowded = self.nodes.values().filter_map(Peer::crowded_until);
        again.chain(crowded.filter(|until| *until > now)).min()
    }
}

impl Hub {
    /// Learns something about the other nodes.
    pub(crate) fn handle_notice(&mut self, now: Now, notice: PeerNotice) {
        self.now = now;
        match notice {
            PeerNotice::Own { incarnation, number } => {
                self.peers.own = Some((incarnation, number));
            }
            PeerNotice::Bus(bus) => self.peers.bus = bus,
            PeerNotice::Known { peer, name, numbers } => {
                let known = self.peers.nodes.entry(peer);
                let known = known.or_insert_with(|| Peer::new(name, Vec::new()));
                known.numbers = numbers;
            }
            PeerNotice::Linked(key) => {
                self.forget_stream(key);
                if let Some(peer) = self.peers.get_mut(key) {
                    (peer.linked, peer.heard) = (true, true);
                }
                self.ask_to_begin(key);
            }
            PeerNotice::Unlinked(key) => {
                self.forget_stream(key);
                if let Some(peer) = self.peers.get_mut(key) {
                    peer.linked = false;
                    peer.again_at = None;
                }
            }
            PeerNotice::Heard(key, heard) => {
                if let Some(peer) = self.peers.get_mut(key) {
                    peer.heard = heard;
                }
            }
            PeerNotice::Gone(key) => {
                self.forget_stream(key);
                self.peers.nodes.remove(&key);
            }
            PeerNotice::Dropped { peer, .. } => self.lose_place(peer, "a word was dropped"),
            PeerNotice::Word { peer, number, word, .. } => self.hear_word(peer, number, word),
        }
    }

    /// Sends a word to a node, or keeps it until the node gives credit. False: there is no stream.
    pub(super) fn say(&mut self, key: PeerKey, word: &Word) -> bool {
        let now = self.now.at;
        let leads = self.peers.leads(key);
        // What changes after this node's `Hello` is not in it, so it waits for the answer.
        let begun = |peer: &&mut Peer| peer.expected.is_some() || leads && peer.said > 0;
        let Some(peer) = self.peers.get_mut(key).filter(begun) else { return false };
        let word = word.encode();
        if peer.held_bytes > HELD_BYTES_MAX {
            self.lose_place(key, "too much waits for it");
            return false;
        }
        if peer.held.is_empty() {
            peer.progress_at = now;
        }
        peer.held_bytes += word.len();
        peer.held.push_back(word);
        self.release_words(key);
        true
    }

    /// Sends a word to every node.
    pub(super) fn say_to_all(&mut self, word: &Word) {
        for key in self.peers.all() {
            // A node without a stream learns of everything from the next `Hello`.
            self.say(key, word);
        }
    }

    fn release_words(&mut self, key: PeerKey) {
        while let Some(peer) = self.peers.get_mut(key)
            && peer.credit > 0
            && let Some(word) = peer.held.pop_front()
        {
            peer.held_bytes -= word.len();
            peer.credit -= cost_of(&word);
            self.say_now(key, word);
        }
    }

    fn say_now(&mut self, key: PeerKey, word: Bytes) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let number = peer.said;
        peer.said = number.wrapping_add(1);
        self.outbox.push(Output::Word(key, number, word));
    }

    fn say_hello(&mut self, key: PeerKey, answers: bool) {
        let tunnels = self.servers.own_tunnels();
        let Some(peer) = self.peers.get_mut(key) else { return };
        peer.again_at = None;
        peer.said = 0;
        self.say_now(key, Word::Hello { answers, tunnels }.encode());
    }

    fn hear_word(&mut self, key: PeerKey, number: u32, bytes: Bytes) {
        let cost = cost_of(&bytes);
        let word = Word::decode(bytes);
        let leads = self.peers.leads(key);
        let Some(peer) = self.peers.get_mut(key).filter(|peer| peer.linked) else { return };
        match word {
            Ok(Some(Word::Hello { answers, tunnels })) => {
                if answers == leads {
                    self.hear_hello(key, tunnels);
                }
                return;
            }
            Ok(Some(Word::Again)) => {
                if leads && peer.expected.is_none() && peer.said > 0 {
                    // A `Hello` is on its way there, unless it was dropped.
                    let at = self.now.at + AGAIN_AFTER;
                    peer.again_at.get_or_insert(at);
                } else if leads {
                    self.forget_stream(key);
                    self.say_hello(key, false);
                }
                return;
            }
            Ok(Some(_) | None) | Err(_) => (),
        }
        let Some(expected) = peer.expected else { return }; // Of a stream that is over.
        if number != expected {
            return self.lose_place(key, "a word is missing");
        }
        peer.expected = Some(expected.wrapping_add(1));
        match word {
            Err(_) => self.lose_place(key, "a word that cannot be read"),
            Ok(None) => (), // Of a later version.
            Ok(Some(Word::Credit { bytes })) => {
                peer.credit = peer.credit.saturating_add(i64::try_from(bytes).unwrap_or(i64::MAX));
                peer.progress_at = self.now.at;
                self.release_words(key);
            }
            Ok(Some(word)) => {
                peer.owed += cost.unsigned_abs();
                self.obey(key, word);
                self.give_credit(key, WINDOW_BYTES / 4);
            }
        }
    }

    /// Returns credit once that many bytes have been taken.
    fn give_credit(&mut self, key: PeerKey, at_least: u64) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        if peer.expected.is_some() && peer.owed >= at_least {
            let bytes = std::mem::take(&mut peer.owed);
            self.say_now(key, Word::Credit { bytes }.encode());
        }
    }

    fn hear_hello(&mut self, key: PeerKey, tunnels: Vec<(u64, Box<str>)>) {
        let leads = self.peers.leads(key);
        let begun = self.peers.get(key).is_some_and(|peer| peer.expected.is_some());
        if leads && begun {
            // The answer to an earlier one was meant by what came since.
            return self.lose_place(key, "it answers twice");
        }
        if !leads {
            self.forget_stream(key);
            self.say_hello(key, true);
        }
        let Some(peer) = self.peers.get_mut(key) else { return };
        peer.expected = Some(1);
        peer.owed = WINDOW_BYTES;
        peer.again_at = None;
        self.give_credit(key, 1);
        for (tunnel, server) in tunnels {
            self.borrow_tunnel(key, tunnel, &server);
        }
    }

    fn obey(&mut self, key: PeerKey, word: Word) {
        match word {
            Word::Hello { .. } | Word::Again | Word::Credit { .. } => (), // Handled already.
            Word::TunnelUp { tunnel, server } => self.borrow_tunnel(key, tunnel, &server),
            Word::TunnelDown { tunnel, clean } => self.return_tunnel(key, tunnel, clean),
            Word::Event { tunnel, wanted, request } => {
                self.lend_event(key, TunnelId(tunnel), wanted, &request);
            }
            Word::EventAnswered { tunnel, number, status, content } => {
                self.borrowed_answer(key, tunnel, number, (status, content));
            }
            Word::Message { tunnel, message } => self.lend_message(TunnelId(tunnel), message),
            Word::EndTunnel { tunnel } => self.end_lent(TunnelId(tunnel)),
            Word::Call { call, adapter, method, target, body } => {
                let caller = Caller::Peer { peer: key, call, adapter };
                self.perform_for(caller, &method, &target, body);
            }
            Word::CallAnswered { call, more, status, body } => {
                self.gather_answer(call, key, more, status, body);
            }
            Word::CallGone { call } => {
                let gone = |caller| matches!(caller, Caller::Peer { peer, call: its, .. } if peer == key && its == call);
                self.drop_invokes_of(gone);
            }
        }
    }

    /// Forgets everything that hung on the stream with a node: what was sent may not have arrived.
    fn forget_stream(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        peer.held = VecDeque::new();
        peer.said = 0;
        (peer.held_bytes, peer.credit, peer.owed) = (0, 0, 0);
        peer.expected = None;
        let tunnels = std::mem::take(&mut peer.tunnels);
        for tunnel in tunnels.into_values() {
            self.handle_tunnel_down(self.now, tunnel, false);
        }
        self.servers.forget_lent(key);
        self.drop_invokes_of(|caller| matches!(caller, Caller::Peer { peer, .. } if peer == key));
        self.gather_lost(key);
    }

    fn lose_place(&mut self, key: PeerKey, cause: &'static str) {
        let at = self.now.at + AGAIN_AFTER;
        let Some(peer) = self.peers.get_mut(key).filter(|peer| peer.linked) else { return };
        if peer.again_at.is_none() {
            peer.again_at = Some(at);
            let (hub, name) = (&self.settings.name, &peer.name);
            tracing::warn!(hub, node = %name, cause, "what the nodes share of a hub begins again");
        }
        self.forget_stream(key);
    }

    pub(super) fn begin_again(&mut self) {
        let now = self.now.at;
        let due = self.peers.nodes.iter_mut().filter_map(|(key, peer)| {
            let due = peer.again_at.is_some_and(|at| at <= now);
            due.then(|| peer.again_at = None).map(|()| *key)
        });
        for key in due.collect::<Vec<_>>() {
            self.ask_to_begin(key);
        }
    }

    /// Begins the stream, or asks the node that leads to begin it: the hub may be new there.
    fn ask_to_begin(&mut self, key: PeerKey) {
        if self.peers.leads(key) {
            self.say_hello(key, false);
        } else {
            self.say_now(key, Word::Again.encode());
        }
    }
}

fn cost_of(word: &[u8]) -> i64 {
    i64::try_from(word.len() as u64 + WORD_BYTES).unwrap_or(i64::MAX)
}
