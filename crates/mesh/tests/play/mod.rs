//! A seeded play: nodes on a bad bus, and what must hold all the time and in the end.
#![expect(unreachable_pub, reason = "a module that tests share")]

mod oracle;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use oracle::Oracle;
use trunkline_mesh::{Lane, NodeState, Owner, Presence, Reach};

use crate::cluster::{Cluster, Faults, key};

/// What happened in a play, to see that plays go everywhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    pub frames: u64,
    pub refused: u64,
    pub suspects: u64,
    pub deaths: u64,
    pub unreachable: u64,
    pub replaced: u64,
    pub left: u64,
    pub returned: u64,
    pub renumbered: u64,
    pub unanswered: u64,
    pub ended_by_peer: u64,
    pub reopened: u64,
    pub repeated: u64,
    pub resent: u64,
}

impl Seen {
    pub fn add(&mut self, other: &Self) {
        let theirs = other.fields();
        self.fields_mut().into_iter().zip(theirs).for_each(|((_, sum), (_, more))| *sum += more);
    }

    pub fn fields(&self) -> Vec<(&'static str, u64)> {
        self.clone().fields_mut().into_iter().map(|(name, count)| (name, *count)).collect()
    }

    fn fields_mut(&mut self) -> Vec<(&'static str, &mut u64)> {
        vec![
            ("frames", &mut self.frames),
            ("refused", &mut self.refused),
            ("suspects", &mut self.suspects),
            ("deaths", &mut self.deaths),
            ("unreachable", &mut self.unreachable),
            ("replaced", &mut self.replaced),
            ("left", &mut self.left),
            ("returned", &mut self.returned),
            ("renumbered", &mut self.renumbered),
            ("unanswered", &mut self.unanswered),
            ("ended_by_peer", &mut self.ended_by_peer),
            ("reopened", &mut self.reopened),
            ("repeated", &mut self.repeated),
            ("resent", &mut self.resent),
        ]
    }
}

/// A play under way.
pub struct Play {
    cluster: Cluster,
    oracle: Oracle,
    trace: DefaultHasher,
    pub seen: Seen,
}

/// Plays a seed with so many nodes for that time, then lets everything heal. Returns what happened,
/// and the trace.
pub fn play(seed: u64, nodes: usize, chaos: Duration) -> (Seen, u64) {
    let mut play = Play {
        cluster: Cluster::new(seed),
        oracle: Oracle::default(),
        trace: DefaultHasher::new(),
        seen: Seen::default(),
    };
    play.cluster.clocks_differ = true;
    for at in 0..nodes {
        // Some nodes are told which number to take, and some of these the same.
        let fixed = play.cluster.random.permille(100);
        play.cluster.start_with(at, |identity| identity.number = fixed.then_some(7), &key());
    }
    if seed % 2 == 1 {
        // In the other half nothing is ever calm.
        play.run(Duration::from_secs(3));
    }
    play.chaos(chaos);
    play.heal();
    play.judge();
    (play.seen, play.trace.finish())
}

impl Play {
    fn chaos(&mut self, span: Duration) {
        let end = self.cluster.now + span;
        let nodes = self.cluster.nodes.len() as u64;
        while self.cluster.now < end {
            // In a large cluster more happens at the same time.
            let pause = 1 + self.cluster.random.below((1_000 / nodes).min(200));
            self.run(Duration::from_millis(pause));
            self.act();
        }
    }

    fn run(&mut self, span: Duration) {
        self.cluster.run(span);
        self.observe();
    }

    fn observe(&mut self) {
        for at in 0..self.cluster.nodes.len() {
            let events = std::mem::take(&mut self.cluster.nodes[at].events);
            let Some(mesh) = &self.cluster.nodes[at].mesh else { continue };
            let own = mesh.identity().incarnation;
            for (time, event) in events {
                (time, at).hash(&mut self.trace);
                self.oracle.observe(own, &event, &mut self.seen, &mut self.trace);
            }
        }
    }

    fn any(&mut self) -> usize {
        self.cluster.random.below(self.cluster.nodes.len() as u64) as usize
    }

    fn act(&mut self) {
        let at = self.any();
        let is_there = self.cluster.nodes[at].mesh.is_some();
        match self.cluster.random.below(100) {
            0..82 => {
                for _ in 0..=self.cluster.random.below(5) {
                    self.talk();
                }
            }
            82..85 => self.change_faults(),
            85..87 if is_there => {
                self.observe();
                self.cluster.kill(at);
            }
            87..91 if !is_there => self.cluster.restart(at),
            91..92 if is_there => {
                self.cluster.with(at, |mesh, now| mesh.set_state(now, NodeState::Leaving));
                self.cluster.pump(at);
                self.observe();
                self.cluster.kill(at);
            }
            92..94 if is_there && !self.cluster.nodes[at].stopped => self.cluster.stop(at),
            94..96 => self.wake_all(),
            96 => {
                let side = self.cluster.random.below(2) as u8;
                self.cluster.nodes[at].side = side;
            }
            97 => self.cluster.nodes.iter_mut().for_each(|node| node.side = 0),
            98 if is_there && self.cluster.nodes[at].connected => self.cluster.disconnect(at),
            98 => self.connect_all(),
            99 if self.cluster.random.permille(500) => self.connect_all(),
            // The whole bus goes away, as rarely in a large cluster as in a small one.
            99 if self.cluster.random.below(self.cluster.nodes.len() as u64) < 5 => {
                for at in 0..self.cluster.nodes.len() {
                    if self.cluster.nodes[at].connected {
                        self.cluster.disconnect(at);
                    }
                }
            }
            _ => {}
        }
        self.observe();
    }

    fn change_faults(&mut self) {
        let random = &mut self.cluster.random;
        let mut some = |max: u64| if random.permille(400) { random.below(max) } else { 0 };
        self.cluster.faults = Faults {
            lost: some(400),
            repeated: some(300),
            reordered: some(500),
            late: some(100),
            unreported: some(1000),
            mute: None,
            deaf: None,
        };
        if self.cluster.random.permille(300) {
            self.cluster.faults.deaf = Some((self.any(), self.any()));
        }
        if self.cluster.random.permille(300) {
            // Only its beats are heard.
            self.cluster.faults.mute = Some(self.any());
        }
    }

    fn wake_all(&mut self) {
        for at in 0..self.cluster.nodes.len() {
            if self.cluster.nodes[at].stopped {
                self.cluster.wake(at);
            }
        }
    }

    fn connect_all(&mut self) {
        for at in 0..self.cluster.nodes.len() {
            let node = &self.cluster.nodes[at];
            if node.mesh.is_some() && !node.connected {
                self.cluster.connect(at);
            }
        }
    }

    /// Some node sends a few frames to some peer.
    fn talk(&mut self) {
        let at = self.any();
        let Some(mesh) = self.cluster.nodes[at].mesh.as_ref() else { return };
        if self.cluster.nodes[at].stopped {
            return;
        }
        let members: Vec<_> = mesh.members().collect();
        if members.is_empty() {
            return;
        }
        let member = &members[self.cluster.random.below(members.len() as u64) as usize];
        self.talk_to(at, member.key);
    }

    fn talk_to(&mut self, at: usize, peer: trunkline_mesh::PeerKey) {
        let own = self.cluster.key_of(at);
        for _ in 0..=self.cluster.random.below(6) {
            let random = &mut self.cluster.random;
            let lane = if random.permille(200) { Lane::Bulk } else { Lane::Control };
            let length = match random.below(100) {
                0..90 => random.below(60),
                90..98 => random.below(5_000),
                _ => random.below(40_000),
            };
            let frame = self.oracle.next_frame(own, peer, lane, length as usize);
            let taken = self.cluster.with(at, |mesh, now| mesh.send(now, peer, lane, &frame));
            match taken {
                Some(Ok(())) => self.oracle.sent(own, peer, lane),
                Some(Err(_)) | None => self.seen.refused += 1,
            }
        }
        self.cluster.pump(at);
    }

    /// The faults end, and everybody who is not there starts again.
    fn heal(&mut self) {
        self.cluster.faults = Faults::default();
        self.cluster.nodes.iter_mut().for_each(|node| node.side = 0);
        self.wake_all();
        self.observe();
        for at in 0..self.cluster.nodes.len() {
            if self.cluster.nodes[at].mesh.is_none() {
                self.cluster.restart(at);
            }
        }
        self.connect_all();
        // The longest delay, the longest silence, a newcomer's time, and the longest wait for a link
        // are 18 s together.
        for _ in 0..18 {
            self.run(Duration::from_secs(1));
            if self.all_linked() {
                break;
            }
        }
        // What was late is here now.
        self.run(Duration::from_secs(2));
        for at in 0..self.cluster.nodes.len() {
            for member in self.cluster.members(at) {
                self.talk_to(at, member.key);
            }
        }
        self.run(Duration::from_secs(2));
    }

    fn all_linked(&self) -> bool {
        let others = self.cluster.nodes.len() - 1;
        (0..=others).all(|at| {
            let members = self.cluster.members(at);
            members.len() == others && members.iter().all(|m| m.presence == Presence::Up)
        })
    }

    fn judge(&mut self) {
        let nodes = self.cluster.nodes.len();
        let keys: Vec<u64> = (0..nodes).map(|at| self.cluster.key_of(at)).collect();
        for at in 0..nodes {
            let mesh = self.cluster.mesh(at);
            assert!(mesh.number().is_some(), "node {at} has no number");
            let seen: Vec<u64> = mesh.members().map(|member| member.key.incarnation).collect();
            let mut expected = keys.clone();
            expected.retain(|key| *key != keys[at]);
            expected.sort_unstable();
            assert_eq!(seen, expected, "node {at} sees others than there are");
            for member in mesh.members() {
                assert_eq!(member.presence, Presence::Up, "node {at}: {member:?}");
                assert_eq!(mesh.reach(member.key), Reach::Open);
                let other = keys.iter().position(|key| *key == member.key.incarnation);
                let other = self.cluster.mesh(other.unwrap_or_default());
                assert_eq!(Some(member.number), other.number());
                // This node may have had the number itself.
                let mut owners = mesh.claimants(member.number).filter(|owner| *owner != Owner::Own);
                assert_eq!(owners.next(), Some(Owner::Peer(member.key)));
                for number in other.numbers() {
                    assert!(mesh.claimants(*number).any(|o| o == Owner::Peer(member.key)));
                }
            }
            let stats = mesh.stats();
            self.seen.repeated += stats.pieces_repeated;
            self.seen.resent += stats.pieces_resent;
        }
        let mut numbers: Vec<_> = (0..nodes).map(|at| self.cluster.mesh(at).number()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), nodes, "two nodes keep one number");
        self.oracle.judge(&keys);
    }
}
