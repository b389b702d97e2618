//! What is read, and which rule each refused packet breaks. The answers are those of `socket.io-parser`
//! 4.2.7 except where `IdMalformed` and `IdTooLarge` say otherwise.

use proptest::prelude::*;
use trunkline_socketio::{ID_MAX, Packet, PacketKind, ParseError, encode, event_data, parse};

fn packet<'a>(kind: PacketKind, nsp: &'a str, id: Option<u64>, data: &'a str) -> Packet<'a> {
    Packet { kind, attachments: 0, nsp, id, data }
}

#[test]
fn packets() {
    let event = r#"["hi"]"#;
    let cases = [
        ("0", packet(PacketKind::Connect, "/", None, "")),
        (r#"0/admin,{"a":1}"#, packet(PacketKind::Connect, "/admin", None, r#"{"a":1}"#)),
        (r#"0{"a":1}"#, packet(PacketKind::Connect, "/", None, r#"{"a":1}"#)),
        ("0/admin?a=b", packet(PacketKind::Connect, "/admin?a=b", None, "")),
        ("1/é,", packet(PacketKind::Disconnect, "/é", None, "")),
        (r#"2["hi"]"#, packet(PacketKind::Event, "/", None, event)),
        (r#"2/a,12["hi"]"#, packet(PacketKind::Event, "/a", Some(12), event)),
        ("2[5]", packet(PacketKind::Event, "/", None, "[5]")),
        ("2", packet(PacketKind::Event, "/", None, "")),
        ("212", packet(PacketKind::Event, "/", Some(12), "")),
        ("30[]", packet(PacketKind::Ack, "/", Some(0), "[]")),
        ("3[]", packet(PacketKind::Ack, "/", None, "[]")),
        (r#"4/a,"no""#, packet(PacketKind::ConnectError, "/a", None, r#""no""#)),
        (
            r#"4{"message":"no"}"#,
            packet(PacketKind::ConnectError, "/", None, r#"{"message":"no"}"#),
        ),
        (r#"51-["hi"]"#, packet(PacketKind::Event, "/", None, event).with_attachments(1)),
        (r#"510-/a,7["hi"]"#, packet(PacketKind::Event, "/a", Some(7), event).with_attachments(10)),
        ("61-/a,7[]", packet(PacketKind::Ack, "/a", Some(7), "[]").with_attachments(1)),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text), Ok(expected), "{text:?}");
    }
}

#[test]
fn leniency_of_javascript() {
    let event = r#"["hi"]"#;
    let cases = [
        ("", packet(PacketKind::Connect, "/", None, "")),
        (" {}", packet(PacketKind::Connect, "/", None, "{}")),
        ("2 [\"hi\"]", packet(PacketKind::Event, "/", Some(0), event)),
        ("2\u{feff}7 [\"hi\"]", packet(PacketKind::Event, "/", Some(7), event)),
        ("2007[\"hi\"]", packet(PacketKind::Event, "/", Some(7), event)),
        ("50x2-[\"hi\"]", packet(PacketKind::Event, "/", None, event).with_attachments(2)),
        ("5 1e0 -[\"hi\"]", packet(PacketKind::Event, "/", None, event).with_attachments(1)),
        ("5+1-[\"hi\"]", packet(PacketKind::Event, "/", None, event).with_attachments(1)),
        ("51-", packet(PacketKind::Event, "/", None, "").with_attachments(1)),
        // The line feed is part of the id.
        ("412\n", packet(PacketKind::ConnectError, "/", Some(12), "")),
        ("2/a", packet(PacketKind::Event, "/a", None, "")),
        ("2/,[\"hi\"]", packet(PacketKind::Event, "/", None, event)),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text), Ok(expected), "{text:?}");
    }
}

#[test]
fn every_broken_rule_has_its_error() {
    use ParseError::*;
    let cases = [
        ("7", KindUnknown),
        ("x", KindUnknown),
        ("é", KindUnknown),
        ("\u{85}", KindUnknown),
        ("5", AttachmentsMalformed),
        ("51", AttachmentsMalformed),
        ("5-[\"hi\"]", AttachmentsMalformed),
        ("50-[\"hi\"]", AttachmentsMalformed),
        ("5-1-[\"hi\"]", AttachmentsMalformed),
        ("51.5-[\"hi\"]", AttachmentsMalformed),
        ("5Infinity-[\"hi\"]", AttachmentsMalformed),
        ("51e999-[\"hi\"]", AttachmentsMalformed),
        ("511-[\"hi\"]", AttachmentsTooMany),
        ("51e300-[\"hi\"]", AttachmentsTooMany),
        ("21 2[\"hi\"]", IdMalformed),
        ("29007199254740992[\"hi\"]", IdTooLarge),
        ("299999999999999999999999999[\"hi\"]", IdTooLarge),
        ("2[\"hi\"", JsonMalformed),
        ("2[\"hi\"]x", JsonMalformed),
        ("2/a,b", JsonMalformed),
        ("2\u{a0}x", JsonMalformed),
        ("1x", JsonMalformed),
        ("1{}", DisconnectWithData),
        ("1null", DisconnectWithData),
        ("0[]", AuthNotObject),
        ("0null", AuthNotObject),
        ("0\"token\"", AuthNotObject),
        ("4[]", ConnectErrorNotObject),
        ("4true", ConnectErrorNotObject),
        ("2{}", EventNotArray),
        ("2\"hi\"", EventNotArray),
        ("2[]", EventNameMissing),
        ("2[null]", EventNameMissing),
        ("2[[\"hi\"]]", EventNameMissing),
        ("2[\"connect\"]", EventNameReserved),
        ("2[\"connect_error\"]", EventNameReserved),
        ("2[\"disconnect\"]", EventNameReserved),
        ("2[\"disconnecting\",1]", EventNameReserved),
        ("2[\"newListener\"]", EventNameReserved),
        ("51-[ \"removeL\\u0069stener\" ]", EventNameReserved),
        ("3{}", AckNotArray),
        ("61-{}", AckNotArray),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text), Err(expected), "{text:?}");
    }
}

fn any_packet() -> impl Strategy<Value = (PacketKind, u32, String, Option<u64>, String)> {
    let nsp = prop_oneof![Just("/".to_owned()), "/[^,]{0,8}"];
    let event = (".{0,8}", prop::collection::vec("[0-9]{1}|\"[a-z]{0,3}\"", 0..3));
    (0..5_u32, nsp, prop::option::of(0..=ID_MAX), event, 1..=10_u32).prop_map(
        |(kind, nsp, id, (name, arguments), attachments)| {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            // A prefix keeps the name from being a reserved one.
            let event = event_data(&format!("-{name}"), &arguments);
            let object = format!("{{\"a\":{event}}}");
            match kind {
                0 => (PacketKind::Connect, 0, nsp, None, object),
                1 => (PacketKind::Disconnect, 0, nsp, None, String::new()),
                2 => (PacketKind::Event, 0, nsp, id, event),
                3 => (PacketKind::BinaryEvent, attachments, nsp, id, event),
                _ => (PacketKind::BinaryAck, attachments, nsp, id, event),
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_encoded_reads_back((kind, attachments, nsp, id, data) in any_packet()) {
        let packet = Packet { kind, attachments, nsp: &nsp, id, data: &data };
        let text = encode(&packet);
        prop_assert_eq!(parse(&text), Ok(packet));
    }
}

#[test]
fn events_have_names() {
    let cases = [
        (r#"2["hi",1]"#, Some("hi")),
        (r#"2/a,7[ "h\u00e9 \"x\"" ]"#, Some("hé \"x\"")),
        ("2[12]", Some("12")),
        ("2[ -1.5e3 , 1]", Some("-1.5e3")),
        ("2", None),
    ];
    for (text, name) in cases {
        let packet = parse(text).unwrap();
        assert_eq!(trunkline_socketio::event_name(packet.data).as_deref(), name, "{text}");
    }
}
