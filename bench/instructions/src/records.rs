//! The trunk's frames, encoded and decoded.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use trunkline_trunk::encode::{encode_message, encode_send};
use trunkline_trunk::{
    Broadcast, BroadcastFlags, Frame, NamespaceNumber, Part, SendFlags, SessionNumber, decode_batch,
};

use crate::Case;

pub(crate) const FRAMES: u32 = 100;

pub(crate) const CASES: &[Case] = &[
    Case { name: "trunk: Message frame of 64 B encoded", each: FRAMES, run: encode },
    Case {
        name: "trunk: Send frame of 64 B decoded",
        each: FRAMES,
        run: |times| decode(times, &sends()),
    },
    Case {
        name: "trunk: Broadcast frame to two rooms decoded",
        each: 1,
        run: |times| decode(times, &broadcast()),
    },
];

fn encode(times: u32) -> u64 {
    let payload = [b'x'; 64];
    let mut out = BytesMut::new();
    let mut seen = 0;
    for _ in 0..times {
        out.clear();
        for session in 0..FRAMES {
            encode_message(&mut out, SessionNumber(session * 97), false, black_box(&payload));
        }
        seen += out.len() as u64;
    }
    seen
}

fn decode(times: u32, batch: &Bytes) -> u64 {
    let mut seen = 0;
    for _ in 0..times {
        for frame in decode_batch(black_box(batch).clone()) {
            black_box(&frame).as_ref().expect("the batch is valid");
            seen += 1;
        }
    }
    seen
}

pub(crate) fn sends() -> Bytes {
    let mut out = BytesMut::new();
    let flags = SendFlags { compressible: true, ..SendFlags::default() };
    (0..FRAMES)
        .for_each(|session| encode_send(&mut out, SessionNumber(session * 97), flags, &[b'x'; 64]));
    out.freeze()
}

pub(crate) fn broadcast() -> Bytes {
    let frame = Frame::Broadcast(Broadcast {
        nsp: NamespaceNumber(0),
        flags: BroadcastFlags { compressible: true, ..BroadcastFlags::default() },
        rooms: vec!["lobby".into(), "hall".into()],
        except: Vec::new(),
        parts: vec![Part { binary: false, data: Bytes::from(vec![b'x'; 128]) }],
    });
    let mut out = BytesMut::new();
    frame.encode(&mut out);
    out.freeze()
}
