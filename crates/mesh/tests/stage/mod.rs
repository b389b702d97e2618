//! One mesh that has joined an empty cluster, and a peer that the test plays.
#![expect(unreachable_pub, reason = "a module that tests share")]

use std::time::Duration;

use bytes::Bytes;
use trunkline_mesh::{
    Beat, BusEvent, Data, Datagram, Destination, Event, Keys, Lane, Load, Mesh, NodeState, PeerKey,
    Presence, Timestamp, Transmit,
};

use crate::cluster::{Cluster, key};

pub const THEIRS: u64 = 77;
pub const NUMBER: u16 = 1234;
pub const PEER: PeerKey = PeerKey { number: NUMBER, incarnation: THEIRS };

/// One mesh that has joined an empty cluster, and a peer that the test plays.
pub struct Stage {
    pub cluster: Cluster,
    pub keys: Keys,
    pub own: u64,
}

impl Stage {
    pub fn new() -> Self {
        let mut cluster = Cluster::new(1);
        // The least that a window can be: 64 KiB.
        cluster.config.window_bytes = 0;
        cluster.start_new();
        cluster.run(Duration::from_secs(3));
        cluster.forget_events();
        let own = cluster.key_of(0);
        Self { cluster, keys: Keys::new(&key(), "test"), own }
    }

    /// The same, with an open link whose epochs are 1 at the mesh and `epoch` at the peer.
    pub fn linked(epoch: u64) -> Self {
        let mut stage = Self::new();
        stage.beat(1);
        let opening = stage.datagrams();
        assert_eq!((opening[0].epoch, opening[0].to_epoch), (1, 0));
        stage.say(&stage.datagram(epoch, 1));
        assert_eq!(stage.presence(), Some(Presence::Up));
        stage.datagrams();
        stage.events();
        stage
    }

    pub fn beat_of(sequence: u64) -> Beat {
        Beat {
            incarnation: THEIRS,
            sequence,
            numbers: vec![NUMBER],
            state: NodeState::Up,
            rank: 5,
            fixed: false,
            node_id: "theirs".into(),
            advertise: String::new(),
            version: "9.9.9".into(),
            hubs_digest: [7; 8],
            load: Load::default(),
        }
    }

    pub fn beat(&mut self, sequence: u64) {
        let payload = Self::beat_of(sequence).encode(&self.keys);
        self.hear(payload);
    }

    pub fn hear(&mut self, payload: Bytes) {
        self.bus(BusEvent::Datagram { lane: None, payload });
    }

    /// Without taking what the mesh sends.
    pub fn bus(&mut self, event: BusEvent) {
        self.cluster.with(0, |mesh, now| mesh.handle_bus(now, event));
    }

    pub fn datagram(&self, epoch: u64, to_epoch: u64) -> Datagram {
        Datagram {
            from: THEIRS,
            to: self.own,
            number: NUMBER,
            lane: Lane::Control,
            epoch,
            to_epoch,
            received: 0,
            beyond: 0,
            window: 1 << 20,
            urgent: false,
            data: None,
            ended: None,
        }
    }

    pub fn piece(&self, epoch: u64, sequence: u64, payload: impl Into<Bytes>) -> Datagram {
        let data = Some(Data { sequence, payload: payload.into() });
        Datagram { data, ..self.datagram(epoch, 1) }
    }

    pub fn say(&mut self, datagram: &Datagram) {
        let payload = datagram.encode(&self.keys);
        self.bus(BusEvent::Datagram { lane: Some(datagram.lane), payload });
    }

    /// What the mesh sends to the peer.
    pub fn datagrams(&mut self) -> Vec<Datagram> {
        let take = |mesh: &mut Mesh, now: Timestamp| -> Vec<Transmit> {
            std::iter::from_fn(|| mesh.poll_transmit(now)).collect()
        };
        let sent = self.cluster.with(0, take).unwrap_or_default();
        let mut all = Vec::new();
        for transmit in sent {
            if let Transmit::Publish {
                to: Destination::Node { number, incarnation, lane },
                payload,
            } = transmit
            {
                assert_eq!((number, incarnation), (NUMBER, THEIRS));
                let datagram = Datagram::decode(&payload, &self.keys).expect("our own");
                assert_eq!(datagram.lane, lane);
                all.push(datagram);
            }
        }
        all
    }

    pub fn presence(&self) -> Option<Presence> {
        self.cluster.mesh(0).member(PEER).map(|member| member.presence)
    }

    pub fn events(&mut self) -> Vec<Event> {
        let take = |mesh: &mut Mesh, _: Timestamp| -> Vec<Event> {
            std::iter::from_fn(|| mesh.poll_event()).collect()
        };
        let mut events = self.cluster.events(0);
        events.extend(self.cluster.with(0, take).unwrap_or_default());
        events
    }
}
