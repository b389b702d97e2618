//! The vectors of the mesh protocol: `spec/vectors/mesh.json`.
#![expect(clippy::unwrap_used, reason = "a vector that is not as told fails its test")]

mod json;

use bytes::BytesMut;
use serde_json::Value;
use trunkline_mesh::{
    Beat, BeatError, ClusterKey, Datagram, DatagramError, Direction, Frame, FrameKind, Keys,
};

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../spec/vectors/mesh.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn list<'a>(root: &'a Value, name: &str) -> &'a [Value] {
    let list = root[name].as_array().unwrap();
    assert!(!list.is_empty());
    list
}

fn bytes_of(vector: &Value) -> bytes::Bytes {
    json::unhex(vector["hex"].as_str().unwrap())
}

fn keys(root: &Value) -> Keys {
    let key = json::unhex(root["key"].as_str().unwrap());
    Keys::new(&ClusterKey::new(key), root["cluster"].as_str().unwrap())
}

#[test]
fn every_frame_decodes_to_its_fields_and_encodes_to_its_bytes() {
    let root = vectors();
    for vector in list(&root, "frames") {
        let name = &vector["name"];
        let bytes = bytes_of(vector);
        let frame = Frame::decode(&bytes).unwrap().unwrap();
        assert_eq!(json::from_frame(&frame), vector["frame"], "{name}");
        let mut out = BytesMut::new();
        frame.encode(&mut out);
        assert_eq!(json::hex(&out), vector["hex"], "{name}");
        assert_eq!(frame.encoded_length(), bytes.len(), "{name}");
    }
}

#[test]
fn every_kind_of_the_registry_has_a_vector_with_its_direction() {
    let root = vectors();
    for kind in FrameKind::ALL {
        let direction = match kind.direction() {
            Direction::Both => "both",
            Direction::ToLanding => "to_landing",
            Direction::ToOwner => "to_owner",
        };
        let mut of_kind = list(&root, "frames").iter();
        let found = of_kind.find(|vector| vector["frame"]["type"] == kind.name()).unwrap();
        assert_eq!(found["direction"], direction, "{kind}");
    }
}

#[test]
fn optional_frames_of_later_versions_are_skipped() {
    for vector in list(&vectors(), "optional") {
        assert_eq!(Frame::decode(&bytes_of(vector)), Ok(None), "{}", vector["name"]);
    }
}

#[test]
fn every_invalid_frame_breaks_its_rule() {
    for vector in list(&vectors(), "invalid_frames") {
        let error = Frame::decode(&bytes_of(vector)).unwrap_err();
        assert_eq!(error.rule.name(), vector["error"], "{}: {error}", vector["name"]);
    }
}

#[test]
fn no_frame_decodes_from_its_beginning() {
    for vector in list(&vectors(), "frames") {
        let bytes = bytes_of(vector);
        for end in 0..bytes.len() {
            assert!(Frame::decode(&bytes.slice(..end)).is_err(), "{} at {end}", vector["name"]);
        }
    }
}

#[test]
fn every_beat_decodes_to_its_fields_and_encodes_to_its_bytes() {
    let root = vectors();
    let keys = keys(&root);
    for vector in list(&root, "beats") {
        let beat = Beat::decode(&bytes_of(vector), &keys).unwrap();
        assert_eq!(json::from_beat(&beat), vector["beat"], "{}", vector["name"]);
        assert_eq!(json::hex(&beat.encode(&keys)), vector["hex"], "{}", vector["name"]);
    }
    for vector in list(&root, "beats_decode") {
        let beat = Beat::decode(&bytes_of(vector), &keys).unwrap();
        assert_eq!(json::from_beat(&beat), vector["beat"], "{}", vector["name"]);
    }
}

#[test]
fn every_invalid_beat_is_told_why() {
    let root = vectors();
    let keys = keys(&root);
    for vector in list(&root, "invalid_beats") {
        let error = match Beat::decode(&bytes_of(vector), &keys).unwrap_err() {
            BeatError::Forged(_) => "forged",
            BeatError::Version { min, max, numbers } => {
                assert_eq!((min, max, &numbers[..]), (2, 9, &[513, 7][..]));
                "version"
            }
            BeatError::Broken(rule) => rule.name(),
        };
        assert_eq!(error, vector["error"], "{}", vector["name"]);
    }
}

#[test]
fn every_datagram_decodes_to_its_fields_and_encodes_to_its_bytes() {
    let root = vectors();
    let keys = keys(&root);
    for vector in list(&root, "datagrams") {
        let datagram = Datagram::decode(&bytes_of(vector), &keys).unwrap();
        assert_eq!(json::from_datagram(&datagram), vector["datagram"], "{}", vector["name"]);
        assert_eq!(json::hex(&datagram.encode(&keys)), vector["hex"], "{}", vector["name"]);
    }
}

#[test]
fn every_invalid_datagram_is_told_why() {
    let root = vectors();
    let keys = keys(&root);
    for vector in list(&root, "invalid_datagrams") {
        let error = match Datagram::decode(&bytes_of(vector), &keys).unwrap_err() {
            DatagramError::Forged(_) => "forged",
            DatagramError::Broken(rule) => rule.name(),
        };
        assert_eq!(error, vector["error"], "{}", vector["name"]);
    }
}

#[test]
fn keys_of_other_clusters_fit_no_vector() {
    let root = vectors();
    let key = ClusterKey::new(json::unhex(root["key"].as_str().unwrap()));
    let other = Keys::new(&key, "staging");
    for vector in list(&root, "beats") {
        assert!(matches!(Beat::decode(&bytes_of(vector), &other), Err(BeatError::Forged(_))));
    }
    for vector in list(&root, "datagrams") {
        let decoded = Datagram::decode(&bytes_of(vector), &other);
        assert!(matches!(decoded, Err(DatagramError::Forged(_))));
    }
}
