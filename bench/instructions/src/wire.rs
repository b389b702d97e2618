//! WebSocket frames decoded, Socket.IO packets parsed.

use std::hint::black_box;
use std::ops::ControlFlow;

use trunkline_websocket::{Decoder, Incoming, Opcode, Role, encode};

use crate::Case;

const MASK: [u8; 4] = [0x9d, 0x3b, 0x71, 0xe5];
const MESSAGE_BYTES_MAX: usize = 1 << 20;

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "websocket: text of 64 B decoded and unmasked",
        each: 1,
        run: |times| decode(times, 64, 1),
    },
    Case {
        name: "websocket: the same, 16 in one read",
        each: 16,
        run: |times| decode(times, 64, 16),
    },
    Case {
        name: "websocket: text of 4 KiB decoded and unmasked",
        each: 1,
        run: |times| decode(times, 4 << 10, 1),
    },
    Case { name: "socketio: event with an acknowledgement parsed", each: 1, run: parse },
];

/// Unmasking works in place, so each repetition begins with a copy of the input.
fn decode(times: u32, bytes: usize, frames: usize) -> u64 {
    let frame = encode(Opcode::Text, &vec![b'x'; bytes], Some(MASK));
    let arrived = frame.repeat(frames);
    let mut input = arrived.clone();
    let mut decoder = Decoder::new();
    let mut seen = 0;
    for _ in 0..times {
        input.copy_from_slice(&arrived);
        let result = decoder.decode(
            Role::Server,
            MESSAGE_BYTES_MAX,
            black_box(&mut input),
            &mut |incoming| {
                if let Incoming::Text(text) = incoming {
                    seen += text.len() as u64;
                }
                ControlFlow::Continue(())
            },
        );
        black_box(&result).as_ref().expect("the frames are valid");
    }
    seen
}

fn parse(times: u32) -> u64 {
    let text = format!("217[\"echo\",\"{}\"]", "x".repeat(64));
    let mut seen = 0;
    for _ in 0..times {
        let packet = trunkline_socketio::parse(black_box(&text)).expect("the packet is valid");
        seen += black_box(packet).data.len() as u64;
    }
    seen
}
