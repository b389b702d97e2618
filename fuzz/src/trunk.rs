//! Targets of the crate `trunk`.

#[path = "../../crates/trunk/tests/pair/mod.rs"]
mod pair;

use bytes::{Bytes, BytesMut};
use pair::{Node, Pair, World, accept};
use trunkline_clock::Timestamp;
use trunkline_trunk::settings::EngineSettings;
use trunkline_trunk::{Frame, FrameKind, LinkConfig, SessionNumber, Transport, decode_batch};

/// Batches: Hello; Open; Message and Close; Attach and Broadcast; Accept, Send and an unknown optional frame;
/// Recorded and Persist; Peers, Relay and Relayed; Restore and Restored; Adopt, State, Handled, Standing and Got;
/// Nodes and Load; Operate and Unhomed.
pub const DECODE_SEEDS: &[&[u8]] = &[
    b"\x01\x0e\x01\x01\x80\x80@\x03srv\x01s\x02{}",
    b"\x10\x17\x05\x04\x03sid\x02\x01\x01aP\x03GET\x01/\x01\x01h\x01v\x00",
    b"\x13\x04\x80\x01\x00x\x15\x06\x05\x02oops",
    b"!\x0c\x05\x00\x04sock\x02\x01a\x01b%\x0e\x00\x08\x01\x01a\x01\x01b\x02\x00\x01x\x01\x00",
    b"\x11\x07\x05\x00\x01\x01a\x00\x00\x14\x03\x05\x0fz\x90\x01z\x18\x06\x01\xc8\x01\x00\x01b",
    b"&\x10\x00\x08\x03off\x01\x01a\x00\x02\x00\x01x\x01\x003\x10\x05\x00\x03pid\x04sock\x01\x01adt",
    b"0\x05\x02\x01a\x01b1\x05\x01\x01a\x00\xff2\x04\x01b\x00\xff1\x02\x00x",
    b"4\x0a\x01\x00\x03pid\x03off5\x15\x01\x01\x04sock\x01\x01a\x02dt\x02\x02\x00\x01x\x01\x00\x005\x06\x01\x00\x00\x00\x00\x00",
    b"\x19%\x05\x04\x03sid\x02\x01\x01\x00\x01a\x01\x03GET\x01/\x00\x00\x01\x01/\x04sock\x01p\x01\x01a\x02dt6\x0b\x05\x00\x04sock\x01pdt7\x02\x01\x008\x02\x05\x07?\x01@",
    b"\x80\x0b\x01\x01a\x01\x05ws://\x01\x81\x02\x07\x00",
    b";\x17\x01/\x01\x01\x03red\x01\x04blue\x02\x05green\x01x\x82\x01\x01",
];

/// A batch that decodes equals the encoding of its frames, and each frame knows its own length and
/// cost.
pub fn decode(data: &[u8]) {
    let mut whole = BytesMut::new();
    let mut frames = Vec::new();
    let mut failed = false;
    for result in decode_batch(Bytes::copy_from_slice(data)) {
        assert!(!failed, "a frame after an error");
        let Ok(frame) = result else {
            failed = true;
            continue;
        };
        let start = whole.len();
        frame.encode(&mut whole);
        assert_eq!(whole.len() - start, frame.encoded_length());
        frames.push(frame);
    }
    if !failed && is_exact(data) {
        assert_eq!(whole, data);
    }
    let again: Result<Vec<Frame>, _> = decode_batch(whole.freeze()).collect();
    assert_eq!(again, Ok(frames));
}

/// Nothing in this valid batch is skipped: no optional frame and no field of a later version.
fn is_exact(mut batch: &[u8]) -> bool {
    while let [kind, rest @ ..] = batch {
        let later = FrameKind::from_wire(*kind);
        if matches!(later, None | Some(FrameKind::Hello | FrameKind::Welcome)) {
            return false;
        }
        let end = rest.iter().position(|byte| byte & 0x80 == 0).map_or(rest.len(), |at| at + 1);
        let length =
            rest[..end].iter().rev().fold(0, |sum, byte| sum << 7 | usize::from(byte & 0x7f));
        batch = &rest[end + length..];
    }
    true
}

/// The first byte splits the rest in two: batches to a node before and after it is up, and batches
/// to an app server.
pub const ENDS_SEEDS: &[&[u8]] = &[
    b"\x10\x01\x0e\x01\x01\x80\x80@\x03srv\x01s\x02{}\x14\x03\x00\x00x\x15\x02\x00\x05\x20\x03\x00\x01/\x06\x01\x05",
    b"\x0f\x20\x03\x00\x01/!\x08\x00\x00\x04sock\x00%\x08\x00\x00\x00\x00\x01\x00\x01x\x22\x02\x00\x00\x04\x02ab",
    b"\x09\x13\x03\x00\x00x\x16\x02\x00\x02\x15\x02\x00\x01\x10\x17\x00\x04\x03sid\x02\x01\x01aP\x03GET\x01/\x01\x01h\x01v\x00\x07\x01\x05\x17\x14\x00\xff\x00\x02\x01\x01aP\x03GET\x01/\x01\x01h\x01v\x00",
    b"\x02\x04\x00\x03\x02\x02\x00",
    b"\x05\x20\x03\x00\x01/&\x09\x00\x00\x01o\x00\x00\x01\x00\x003\x09\x00\x00\x01p\x01s\x00dt4\x06\x01\x00\x01p\x01o1\x02\x00x",
    b"\x050\x03\x01\x01b2\x03\x01bx5\x06\x01\x00\x00\x00\x00\x00",
];

/// Whatever a peer sends, an end answers within bounds: nothing after its `Error`, after which all
/// input is ignored.
pub fn ends(data: &[u8]) {
    let Some((&split, rest)) = data.split_first() else { return };
    let (first, second) = rest.split_at(usize::from(split).min(rest.len()));
    let mut fresh = Node::new(Timestamp::ORIGIN, LinkConfig::default(), 2);
    for batch in [first, second] {
        // That it ends is told below; that it goes on is not.
        let _ = fresh.handle_batch(Timestamp::ORIGIN, Bytes::copy_from_slice(batch));
        let _ = fresh.welcome(Timestamp::ORIGIN);
        let failed = fresh.has_ended();
        check_output(std::iter::from_fn(|| fresh.poll_transmit()), failed);
    }
    let small = LinkConfig { credit_window_bytes: 64, ..LinkConfig::default() };
    let (mut pair, session) = Pair::with_session(small, small);
    for batch in [first, second] {
        let batch = Bytes::copy_from_slice(batch);
        let failed = pair.node.handle_batch(pair.now, batch.clone()).is_err();
        check_output(std::iter::from_fn(|| pair.node.poll_transmit()), failed);
        let failed = pair.app.handle_batch(pair.now, batch).is_err();
        check_output(std::iter::from_fn(|| pair.app.poll_transmit()), failed);
        // Whether the frames are possible now depends on what came; that they are judged does not.
        let _ = pair.node.send(Frame::Upgraded { session, transport: Transport::WebSocket });
        let _ = pair.app.send(accept(SessionNumber(0)));
    }
}

fn check_output(frames: impl Iterator<Item = Frame>, failed: bool) {
    let kinds: Vec<FrameKind> = frames.map(|frame| frame.kind()).collect();
    let error = kinds.iter().position(|kind| *kind == FrameKind::Error);
    assert!(error.is_none_or(|at| at + 1 == kinds.len()), "{kinds:?}");
    assert!(error.is_none() || failed, "an Error without a cause");
}

/// The window, then operations in two bytes each (see `World::step`): open, accept, message, send, close both ways;
/// persist, record, relay and restore.
pub const OPERATIONS_SEEDS: &[&[u8]] = &[
    b"\x40\x00\x00\x0c\x00\x05\x00\x0d\x00\x01\x05\x07\x05\x0c\x00\x0d\x00\x02\x00\x08\x00\x0c\x00\x0d\x00",
    b"\x01\x00\x00\x00\x00\x0c\x00\x06\x00\x02\x00\x0d\x00\x00\x00\x0c\x00\x0c\x00\x05\x01\x0d\x00\x07\xff\x07\x01\x0d\x00\x0f\x00",
    b"\x08\x00\x00\x0c\x00\x05\x00\x09\x00\x09\x01\x0a\x20\x0a\x20\x0d\x00\x0f\x00\x0c\x00\x0e\xc8\x0c\x00\x0d\x00\x04\x00\x0b\x00",
    b"\x20\x00\x00\x0c\x00\x05\x00\x0d\x00\x10\x00\x0a\x03\x11\x09\x12\x01\x12\x01\x02\x00\x0d\x00\x0f\x00\x0d\x00\x13\x02\x13\x00\x13\x01\x0c\x00\x12\x01",
];

/// Any order of operations and deliveries at two ends of our own keeps the invariants.
pub fn operations(data: &[u8]) {
    let Some((&window, operations)) = data.split_first() else { return };
    World::new(u32::from(window).max(1)).run(operations);
}

/// Options as an app server sends them.
pub const SETTINGS_SEEDS: &[&[u8]] = &[
    br#"{"path":"/socket.io/","pingInterval":25000,"transports":["polling","websocket"],"maxHttpBufferSize":1e6}"#,
    br#"{"perMessageDeflate":{"threshold":1024,"zlibDeflateOptions":{"level":-1,"memLevel":9}},"httpCompression":false}"#,
    br#"{"connectionStateRecovery":{"maxDisconnectionDuration":120000,"skipMiddlewares":true},"allowEIO3":true}"#,
];

/// Settings that are taken are within their bounds; a refusal is short enough for a log.
pub fn settings(data: &[u8]) {
    let Ok(json) = core::str::from_utf8(data) else { return };
    match EngineSettings::from_json(json) {
        Ok(settings) => {
            assert!(settings.path.is_empty() || settings.path.starts_with('/'));
            assert!(!settings.ping_interval.is_zero() && settings.max_http_buffer_bytes > 0);
        }
        Err(error) => assert!(error.to_string().len() < 1024),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_valid() {
        for (at, seed) in DECODE_SEEDS.iter().enumerate() {
            let decoded: Result<Vec<_>, _> = decode_batch(Bytes::from_static(seed)).collect();
            assert!(decoded.is_ok(), "{at}: {decoded:?}");
        }
        for (at, seed) in ENDS_SEEDS.iter().enumerate() {
            let (first, second) = seed[1..].split_at(seed[0].into());
            for part in [first, second] {
                let decoded: Result<Vec<_>, _> = decode_batch(Bytes::from_static(part)).collect();
                assert!(decoded.is_ok(), "{at}: {decoded:?}");
            }
        }
    }
}
