//! Targets of the crate `mesh`.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use trunkline_clock::Timestamp;
use trunkline_mesh::{
    Beat, BusEvent, ClusterKey, Config, Data, Datagram, EndCode, Event, Frame, FrameKind, Identity,
    Keys, Lane, Load, Mesh, NodeState, PeerKey, Presence, RequestId, Stranger, Transmit,
};

const KEY: &[u8] = b"a cluster key";
const CLUSTER: &str = "fuzz";

fn keys() -> Keys {
    Keys::new(&ClusterKey::new(KEY), CLUSTER)
}

/// The signature of a body, as a node that has the key would write it.
fn sign(purpose: &[u8], body: &[u8]) -> [u8; 32] {
    let mac = |key: &[u8], parts: &[&[u8]]| -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    };
    let key = mac(KEY, &[b"trunkline mesh ", purpose, b" 1 ", CLUSTER.as_bytes()]);
    mac(&key, &[body])
}

/// The first byte says what the rest is: a frame, the body of a beat, the body of a datagram.
pub const DECODE_SEEDS: &[&[u8]] = &[
    b"\x00\x02\x01\x05",
    b"\x00\x03\x0e\x01\x00\x0e\x0212\x01\x01a\x01b\x00\x004\"",
    b"\x00\x05\x0a\x05\x00\x80\x01\x01\x02\x00",
    b"\x00\x12\x08\x01\x02\x01a\x07\x01b\x00",
    b"\x00\x0a\x0a\x06\x00\x01s\x00\x0a\x00\x02{}",
    b"\x01\x01\x01\x01\x01\x02\x03\x04\x05\x06\x07\x08\x01\x01\x02\x01\x01\x05\x02\x02n1\x01u\x050.1.0\x00\x00\x00\x00\x00\x00\x00\x00\x01\x01\x01\x01\x01\x01\x01\x01\x2a",
    b"\x02\x02\x11\x01\x02\x03\x04\x05\x06\x07\x08\x08\x07\x06\x05\x04\x03\x02\x01\x02\x01\x01\x00\x00\x00\x80\x80\x04",
    b"\x02\x02\x08\x01\x02\x03\x04\x05\x06\x07\x08\x08\x07\x06\x05\x04\x03\x02\x01\x02\x01\x01\x09\x02\x05\x80\x80\x04\x07\x02\x01\x05",
];

/// What decodes encodes to the same bytes, apart from what later versions may add.
pub fn decode(data: &[u8]) {
    let Some((&which, rest)) = data.split_first() else { return };
    match which % 3 {
        0 => decode_frame(rest),
        1 => {
            let signed = [rest, &sign(b"beat", rest)].concat();
            let Ok(beat) = Beat::decode(&signed.into(), &keys()) else { return };
            let again = Beat::decode(&beat.encode(&keys()), &keys());
            assert_eq!(again, Ok(beat));
        }
        _ => {
            let signature = sign(b"link", rest);
            let opening = rest.get(1).is_some_and(|flags| flags & 1 != 0);
            let tag = if opening { &signature[..] } else { &signature[..8] };
            let signed: Bytes = [rest, tag].concat().into();
            let Ok(datagram) = Datagram::decode(&signed, &keys()) else { return };
            assert_eq!(datagram.encode(&keys()), signed);
        }
    }
}

fn decode_frame(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let Ok(Some(frame)) = Frame::decode(&bytes) else { return };
    let mut out = BytesMut::new();
    frame.encode(&mut out);
    assert_eq!(out.len(), frame.encoded_length());
    assert_eq!(out, bytes);
    assert_eq!(FrameKind::from_wire(data[0]), Some(frame.kind()));
}

/// Operations in four bytes each, on a mesh with two peers that know the key: see `Stage::step`.
pub const OPERATIONS_SEEDS: &[&[u8]] = &[
    b"\x02\x00\x01\x01\x03\x00\x01\x00\x04\x00\x01\x01\x05\x00\x01\x11\x06\x00\x20\x00\x00\x10\x00\x00\x09\x00\x09\x01",
    b"\x02\x00\x01\x01\x02\x01\x01\x02\x04\x00\x01\x01\x04\x01\x01\x02\x06\x00\x00\x00\x07\x00\x00\x00\x00\x20\x00\x00\x07\x00\x00\x00",
    b"\x02\x00\x01\x01\x04\x00\x01\x01\x05\x70\x01\x21\x05\x70\x01\x11\x08\x00\x00\x00\x01\x0a\x00\x00\x02\x00\x02\x01\x09\x00\x41\x01",
];

/// Whatever peers with the key send, in whatever order things happen, a mesh stays within bounds
/// and comes to rest.
pub fn operations(data: &[u8]) {
    let mut stage = Stage::new();
    for operation in data.as_chunks::<4>().0.iter().take(400) {
        stage.step(*operation);
    }
}

struct Stage {
    mesh: Mesh,
    now: Timestamp,
    keys: Keys,
    sequences: [u64; 2],
    linked: [bool; 2],
}

const INCARNATIONS: [u64; 2] = [10, 20];
const OWN: u64 = 15;

impl Stage {
    fn new() -> Self {
        let identity = Identity {
            cluster: CLUSTER.into(),
            node_id: "own".into(),
            incarnation: OWN,
            number: Some(3),
            advertise: String::new(),
            version: "1".into(),
            hubs_digest: [0; 8],
        };
        let now = Timestamp::from_micros(1_000_000);
        let mesh = Mesh::new(now, identity, &ClusterKey::new(KEY), Config::default(), 1);
        let mut stage = Self { mesh, now, keys: keys(), sequences: [0; 2], linked: [false; 2] };
        stage.bus(BusEvent::Connected { payload_max: 1 << 16 });
        for _ in 0..3 {
            stage.now = stage.now + Duration::from_secs(1);
            stage.mesh.handle_timeout(stage.now);
            stage.rest();
        }
        assert_eq!(stage.mesh.number(), Some(3));
        stage
    }

    fn step(&mut self, [operation, peer, a, b]: [u8; 4]) {
        let which = usize::from(peer % 2);
        let (from, number) = (INCARNATIONS[which], 3 + u16::from(peer % 4));
        match operation % 10 {
            0 => {
                self.now = self.now + Duration::from_millis(u64::from(peer) * 20 + u64::from(a));
                self.mesh.handle_timeout(self.now);
            }
            1 => self.bus(BusEvent::Connected { payload_max: 1 << (8 + a % 16) }),
            2 => self.beat(which, number, a, b),
            3 => self.say(Self::datagram(from, number, u64::from(a), 0)),
            4 => self.say(Self::datagram(from, number, u64::from(a), u64::from(b % 8))),
            5 => {
                let mut datagram = Self::datagram(from, number, u64::from(a % 8), u64::from(b % 4));
                let payload = [&[b % 32, peer >> 4][..], &vec![a; usize::from(peer >> 4)]].concat();
                let sequence = u64::from(b >> 4);
                datagram.data = Some(Data { sequence, payload: payload.into() });
                self.say(datagram);
            }
            6 => {
                let to = PeerKey { number, incarnation: from };
                let lane = if a & 1 == 0 { Lane::Control } else { Lane::Bulk };
                let body = Bytes::from(vec![b; usize::from(a) * 300]);
                let frame = Frame::Export { id: RequestId(b.into()), snapshot: body };
                let taken = self.mesh.send(self.now, to, lane, &frame);
                assert!(taken.is_err() || self.linked[which], "a frame without a link");
            }
            7 => self.bus(BusEvent::Unreachable { number, incarnation: from }),
            8 => self.bus(BusEvent::Disconnected { cause: String::new() }),
            _ => {
                let mut datagram = Self::datagram(from, number, u64::from(a % 8), u64::from(b % 4));
                datagram.ended = (a & 64 != 0).then_some(EndCode(b));
                datagram.received = u64::from(a >> 3 & 7);
                datagram.beyond = u64::from(b >> 5);
                datagram.window = u64::from(peer) << 4;
                datagram.urgent = a & 128 != 0;
                datagram.lane = if b & 16 == 0 { Lane::Control } else { Lane::Bulk };
                self.say(datagram);
            }
        }
        self.rest();
    }

    fn beat(&mut self, which: usize, number: u16, a: u8, b: u8) {
        self.sequences[which] += u64::from(a);
        let beat = Beat {
            incarnation: INCARNATIONS[which],
            sequence: self.sequences[which],
            numbers: (0..b % 4).map(|at| number + u16::from(at)).collect(),
            state: match b >> 5 {
                7 => NodeState::Leaving,
                6 => NodeState::Draining,
                _ => NodeState::Up,
            },
            rank: (b >> 2 & 3).into(),
            fixed: b & 16 != 0,
            node_id: "peer".into(),
            advertise: String::new(),
            version: "1".into(),
            hubs_digest: [b & 1; 8],
            load: Load::default(),
        };
        let payload = beat.encode(&self.keys);
        self.bus(BusEvent::Datagram { lane: None, payload });
    }

    fn datagram(from: u64, number: u16, epoch: u64, to_epoch: u64) -> Datagram {
        Datagram {
            from,
            to: OWN,
            number,
            lane: Lane::Control,
            epoch,
            to_epoch,
            received: 0,
            beyond: 0,
            window: 1 << 16,
            urgent: false,
            data: None,
            ended: None,
        }
    }

    fn say(&mut self, datagram: Datagram) {
        let payload = datagram.encode(&self.keys);
        self.bus(BusEvent::Datagram { lane: Some(datagram.lane), payload });
    }

    fn bus(&mut self, event: BusEvent) {
        self.mesh.handle_bus(self.now, event);
    }

    /// Takes what there is: it ends, and then there is nothing to do before later.
    fn rest(&mut self) {
        let mut sent = 0;
        while let Some(transmit) = self.mesh.poll_transmit(self.now) {
            sent += 1;
            assert!(sent < 20_000, "it never ends");
            if let Transmit::Publish { payload, .. } = transmit {
                assert!(payload.len() <= 256 << 10);
            }
        }
        while let Some(event) = self.mesh.poll_event() {
            let at = |peer: PeerKey| INCARNATIONS.iter().position(|own| *own == peer.incarnation);
            match event {
                Event::LinkUp(peer) => {
                    let linked = &mut self.linked[at(peer).expect("a peer")];
                    assert!(!std::mem::replace(linked, true));
                }
                Event::LinkEnded { peer, .. } => {
                    let linked = &mut self.linked[at(peer).expect("a peer")];
                    assert!(std::mem::take(linked));
                }
                Event::Frame { from, .. } => assert!(self.linked[at(from).expect("a peer")]),
                // An opening with a piece, for example.
                Event::Stranger(stranger) => assert_eq!(stranger, Stranger::Broken),
                _ => {}
            }
        }
        for member in self.mesh.members() {
            let is_linked = matches!(member.presence, Presence::Up | Presence::Suspect);
            let at = INCARNATIONS.iter().position(|own| *own == member.key.incarnation);
            assert_eq!(is_linked, self.linked[at.expect("a peer")]);
        }
        if let Some(deadline) = self.mesh.poll_deadline() {
            if deadline <= self.now {
                self.mesh.handle_timeout(self.now);
                while self.mesh.poll_transmit(self.now).is_some() {}
            }
            let deadline = self.mesh.poll_deadline();
            assert!(deadline.is_none_or(|at| at > self.now), "it is never at rest");
        }
    }
}
