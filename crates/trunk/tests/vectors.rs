//! The vectors that every implementation of the protocol reads: `spec/vectors/frames.json`.
#![expect(clippy::unwrap_used, reason = "a vector that is not as told fails its test")]

mod json;

use bytes::{Bytes, BytesMut};
use serde_json::Value;
use trunkline_trunk::{Direction, FrameKind, decode_batch};

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../spec/vectors/frames.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The vectors under that name, and those of later sections that stand next to them.
fn list<'a>(root: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    let names = ["", "_relay", "_homes", "_nodes"].map(|rest| format!("{name}{rest}"));
    names.into_iter().filter_map(|name| root[name].as_array()).flatten()
}

fn batch_of(vector: &Value) -> Bytes {
    json::unhex(vector["hex"].as_str().unwrap())
}

#[test]
fn every_frame_decodes_to_its_fields_and_encodes_to_its_bytes() {
    let root = vectors();
    for vector in list(&root, "frames") {
        let name = &vector["name"];
        let bytes = batch_of(vector);
        let frames: Vec<_> = decode_batch(bytes.clone()).map(Result::unwrap).collect();
        assert_eq!(frames.len(), 1, "{name}");
        assert_eq!(json::from_frame(&frames[0]), vector["frame"], "{name}");
        let mut out = BytesMut::new();
        json::to_frame(&vector["frame"]).encode(&mut out);
        assert_eq!(json::hex(&out), vector["hex"], "{name}");
        assert_eq!(frames[0].encoded_length(), bytes.len(), "{name}");
    }
}

#[test]
fn every_kind_of_the_registry_has_a_vector_with_its_direction() {
    let root = vectors();
    for kind in FrameKind::ALL {
        let direction = match kind.direction() {
            Direction::Both => "both",
            Direction::ToApp => "to_app",
            Direction::ToNode => "to_node",
        };
        let of_kind: Vec<_> =
            list(&root, "frames").filter(|v| v["frame"]["type"] == kind.name()).collect();
        assert!(!of_kind.is_empty(), "{kind}");
        assert!(of_kind.iter().all(|vector| vector["direction"] == direction), "{kind}");
    }
}

#[test]
fn every_batch_decodes_to_its_frames() {
    let root = vectors();
    for vector in list(&root, "batches") {
        let frames: Vec<_> =
            decode_batch(batch_of(vector)).map(|f| json::from_frame(&f.unwrap())).collect();
        assert_eq!(Value::from(frames), vector["frames"], "{}", vector["name"]);
    }
}

#[test]
fn every_invalid_batch_ends_in_its_error_and_nothing_after() {
    let root = vectors();
    for vector in list(&root, "invalid") {
        let mut batch = decode_batch(batch_of(vector));
        let error = batch.find_map(Result::err).unwrap_or_else(|| panic!("{}", vector["name"]));
        assert_eq!(error.rule.name(), vector["error"], "{}: {error}", vector["name"]);
        assert!(batch.next().is_none(), "{}", vector["name"]);
    }
}

#[test]
fn decoding_copies_neither_payloads_nor_strings() {
    let root = vectors();
    for vector in list(&root, "frames") {
        let bytes = batch_of(vector);
        let batch = bytes.as_ptr_range();
        let frame = decode_batch(bytes.clone()).next().unwrap().unwrap();
        json::for_each_slice(&frame, &mut |slice| {
            let slice = slice.as_ptr_range();
            let inside = batch.start <= slice.start && slice.end <= batch.end;
            assert!(inside || slice.is_empty(), "{}", vector["name"]);
        });
    }
}
