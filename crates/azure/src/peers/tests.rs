//! The vectors of the words: `spec/vectors/doors.json`.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::codec::BadWord;
use super::word::Word;

fn vectors(list: &str) -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../spec/vectors/doors.json");
    let text = std::fs::read_to_string(path).expect("the vectors are there");
    let root: Value = serde_json::from_str(&text).expect("JSON");
    let list = root[list].as_array().expect("a list").clone();
    assert!(!list.is_empty());
    list
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes_of(vector: &Value) -> Bytes {
    let text = vector["hex"].as_str().expect("hex").as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16).expect("a digit") as u8;
    text.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn json_of(word: &Word) -> Value {
    match word {
        Word::Hello { answers, tunnels } => {
            json!({ "type": "Hello", "answers": answers, "tunnels": tunnels })
        }
        Word::Again => json!({ "type": "Again" }),
        Word::Credit { bytes } => json!({ "type": "Credit", "bytes": bytes }),
        Word::TunnelUp { tunnel, server } => {
            json!({ "type": "TunnelUp", "tunnel": tunnel, "server": server })
        }
        Word::TunnelDown { tunnel, clean } => {
            json!({ "type": "TunnelDown", "tunnel": tunnel, "clean": clean })
        }
        Word::Event { tunnel, wanted, request } => {
            json!({ "type": "Event", "tunnel": tunnel, "wanted": wanted, "request": hex(request) })
        }
        Word::EventAnswered { tunnel, number, status, content } => json!({
            "type": "EventAnswered", "tunnel": tunnel, "number": number, "status": status,
            "content": hex(content),
        }),
        Word::Message { tunnel, message } => {
            json!({ "type": "Message", "tunnel": tunnel, "message": hex(message) })
        }
        Word::EndTunnel { tunnel } => json!({ "type": "EndTunnel", "tunnel": tunnel }),
        Word::Call { call, adapter, method, target, body } => json!({
            "type": "Call", "call": call, "adapter": adapter, "method": method, "target": target,
            "body": hex(body),
        }),
        Word::CallAnswered { call, more, status, body } => json!({
            "type": "CallAnswered", "call": call, "more": more, "status": status, "body": hex(body),
        }),
        Word::CallGone { call } => json!({ "type": "CallGone", "call": call }),
    }
}

#[test]
fn every_word_decodes_to_its_fields_and_encodes_to_its_bytes() {
    let mut types = std::collections::BTreeSet::new();
    for vector in vectors("words") {
        let bytes = bytes_of(&vector);
        types.insert(bytes[0]);
        let word = Word::decode(bytes).expect("a word").expect("a known one");
        assert_eq!(json_of(&word), vector["word"], "{}", vector["name"]);
        assert_eq!(hex(&word.encode()), vector["hex"], "{}", vector["name"]);
    }
    assert_eq!(types.into_iter().collect::<Vec<_>>(), (1..=0x0c).collect::<Vec<_>>());
}

#[test]
fn words_of_later_versions_are_skipped() {
    for vector in vectors("later") {
        assert_eq!(Word::decode(bytes_of(&vector)), Ok(None), "{}", vector["name"]);
    }
}

#[test]
fn every_invalid_word_breaks_its_rule() {
    for vector in vectors("invalid") {
        let name = match Word::decode(bytes_of(&vector)).expect_err("it is invalid") {
            BadWord::Leftover => "leftover",
            BadWord::Number => "number",
            BadWord::Text => "text",
            BadWord::Truncated => "truncated",
            BadWord::Value => "value",
        };
        assert_eq!(name, vector["error"], "{}", vector["name"]);
    }
}

proptest! {
    #[test]
    fn whatever_decodes_encodes_to_the_same_bytes(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first %= 16;
        }
        let bytes = Bytes::from(bytes);
        if let Ok(Some(word)) = Word::decode(bytes.clone()) {
            prop_assert_eq!(word.encode(), bytes);
        }
    }
}
