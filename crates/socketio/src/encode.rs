//! From packets to text.

use alloc::string::String;
use core::fmt::Write as _;

use crate::{Packet, PacketKind};

/// The packet as the text of an Engine.IO message. Its data goes in as it is.
pub fn encode(packet: &Packet<'_>) -> String {
    let mut text = String::with_capacity(packet.data.len() + packet.nsp.len() + 8);
    text.push(match packet.kind {
        PacketKind::Connect => '0',
        PacketKind::Disconnect => '1',
        PacketKind::Event => '2',
        PacketKind::Ack => '3',
        PacketKind::ConnectError => '4',
        PacketKind::BinaryEvent => '5',
        PacketKind::BinaryAck => '6',
    });
    if packet.kind.is_binary() {
        push_number(&mut text, packet.attachments.into());
        text.push('-');
    }
    if !matches!(packet.nsp, "/" | "") {
        text.push_str(packet.nsp);
        text.push(',');
    }
    if let Some(id) = packet.id {
        push_number(&mut text, id);
    }
    text.push_str(packet.data);
    text
}

/// The data of an event: a JSON array of its name and its arguments, which are raw JSON.
pub fn event_data(name: &str, arguments: &[&str]) -> String {
    let mut data = String::from("[");
    push_quoted(&mut data, name);
    for argument in arguments {
        data.push(',');
        data.push_str(argument);
    }
    data.push(']');
    data
}

/// A text as a JSON string, quotes included.
pub fn quote(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    push_quoted(&mut json, text);
    json
}

fn push_quoted(json: &mut String, text: &str) {
    json.push('"');
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            '\0'..='\x1f' => {
                write!(json, "\\u{:04x}", u32::from(c)).expect("a string takes everything");
            }
            _ => json.push(c),
        }
    }
    json.push('"');
}

fn push_number(text: &mut String, number: u64) {
    write!(text, "{number}").expect("a string takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets() {
        let event = Packet::event("/", None, r#"["hi",1]"#);
        let cases = [
            (Packet::connect("/", ""), "0"),
            (Packet::connect("/admin", r#"{"token":"x"}"#), r#"0/admin,{"token":"x"}"#),
            (Packet::disconnect("/admin"), "1/admin,"),
            (event, r#"2["hi",1]"#),
            (Packet { nsp: "", ..event }, r#"2["hi",1]"#),
            (Packet { nsp: "/a", id: Some(12), ..event }, r#"2/a,12["hi",1]"#),
            (event.with_attachments(2), r#"52-["hi",1]"#),
            (Packet::ack("/", 0, "[]"), "30[]"),
            (Packet::ack("/a", 7, "[]").with_attachments(1), "61-/a,7[]"),
            (Packet::connect("/", "").with_attachments(1), "0"),
            (
                Packet { kind: PacketKind::ConnectError, ..Packet::connect("/a", r#""no""#) },
                r#"4/a,"no""#,
            ),
        ];
        for (packet, text) in cases {
            assert_eq!(encode(&packet), text);
        }
    }

    #[test]
    fn event_names_are_quoted() {
        assert_eq!(event_data("hi", &[]), r#"["hi"]"#);
        assert_eq!(event_data("a\"\\\n\u{1}é", &["1", "{}"]), "[\"a\\\"\\\\\\n\\u0001é\",1,{}]");
        assert_eq!(quote("\t\r"), r#""\t\r""#);
    }
}
