//! Engine.IO 4 and Socket.IO 5 packets, as much as a load generator has to tell apart.
//!
//! Sources: the Engine.IO protocol text, revision 4 ("Packet encoding"), and the Socket.IO protocol
//! text, revision 5 ("Packet encoding"). One namespace is spoken: the one of the prefix.

/// What one WebSocket text message from the server says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Packet<'a> {
    /// Acknowledgement `id` with its JSON array of arguments.
    Ack { id: u64, args: &'a [u8] },
    /// The server closes the Engine.IO session.
    Close,
    /// The namespace accepted us; JSON object with the socket's id.
    Connected(&'a [u8]),
    /// A middleware refused us; JSON object with the message.
    ConnectRefused(&'a [u8]),
    /// The server disconnected the socket.
    Disconnected,
    /// JSON array: the event's name and its arguments.
    Event(&'a [u8]),
    /// The Engine.IO handshake, a JSON object.
    Open(&'a [u8]),
    /// A heartbeat that has to be answered.
    Ping,
    /// Something legal that no scenario needs (noop, binary headers, another namespace).
    Other,
}

/// Recognises a text message; `None` when it is no Engine.IO packet at all. `prefix` is the namespace's `/name,`, or
/// nothing for the main one.
pub(crate) fn decode<'a>(text: &'a [u8], prefix: &str) -> Option<Packet<'a>> {
    let (kind, body) = text.split_first()?;
    Some(match kind {
        b'0' => Packet::Open(body),
        b'1' => Packet::Close,
        b'2' => Packet::Ping,
        b'4' => return decode_message(body, prefix.as_bytes()),
        b'3' | b'5' | b'6' => Packet::Other,
        _ => return None,
    })
}

fn decode_message<'a>(text: &'a [u8], prefix: &[u8]) -> Option<Packet<'a>> {
    let (kind, body) = text.split_first()?;
    let body = match body.strip_prefix(prefix) {
        Some(body) if !prefix.is_empty() || body.first() != Some(&b'/') => body,
        // A refusal has the namespace alone, when nothing follows.
        None if body.len() + 1 == prefix.len() && prefix.starts_with(body) => b"",
        _ => return Some(Packet::Other),
    };
    Some(match kind {
        b'0' => Packet::Connected(body),
        b'1' => Packet::Disconnected,
        b'2' => Packet::Event(leading_number(body).1),
        b'3' => {
            let (id, args) = leading_number(body);
            Packet::Ack { id: id?, args }
        }
        b'4' => Packet::ConnectRefused(body),
        b'5' | b'6' => Packet::Other,
        _ => return None,
    })
}

/// Splits decimal digits off the front: their value (`None` without any) and what follows.
pub(crate) fn leading_number(text: &[u8]) -> (Option<u64>, &[u8]) {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (head, tail) = text.split_at(digits);
    let value = head
        .iter()
        .try_fold(0u64, |value, digit| value.checked_mul(10)?.checked_add(u64::from(digit - b'0')));
    (value.filter(|_| digits > 0), tail)
}

/// The first argument of a JSON array, when it is a string without escapes; else `None`.
pub(crate) fn first_string(array: &[u8]) -> Option<&[u8]> {
    quoted(array.strip_prefix(b"[")?).map(|(text, _)| text)
}

/// The name of an event and its first argument, when that is a string.
pub(crate) fn name_and_string(array: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let (name, rest) = quoted(array.strip_prefix(b"[")?)?;
    let argument = rest.strip_prefix(b",").and_then(quoted).map(|(text, _)| text);
    Some((name, argument))
}

/// The third item of an array of three strings: with connection state recovery, the packet's offset.
pub(crate) fn last_string(array: &[u8]) -> Option<&[u8]> {
    let (_, rest) = quoted(array.strip_prefix(b"[")?)?;
    let (_, rest) = quoted(rest.strip_prefix(b",")?)?;
    let (text, rest) = quoted(rest.strip_prefix(b",")?)?;
    (rest == b"]").then_some(text)
}

/// Splits `"text"` off the front. An escape in it only matters to callers that look past the end of the
/// text; the payloads that this generator makes hold none.
fn quoted(json: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = json.strip_prefix(b"\"")?;
    let end = text.iter().position(|byte| *byte == b'"')?;
    Some((&text[..end], &text[end + 1..]))
}

/// The numbers of a payload `first:second:…`, as the scenarios stamp their messages.
pub(crate) fn stamp(text: &[u8]) -> Option<(u64, u64)> {
    let (first, rest) = leading_number(text);
    let (second, _) = leading_number(rest.strip_prefix(b":")?);
    Some((first?, second?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_recognised() {
        for (text, packet) in [
            ("0{\"sid\":\"a\"}", Some(Packet::Open(b"{\"sid\":\"a\"}"))),
            ("1", Some(Packet::Close)),
            ("2", Some(Packet::Ping)),
            ("6", Some(Packet::Other)),
            ("40{\"sid\":\"b\"}", Some(Packet::Connected(b"{\"sid\":\"b\"}"))),
            ("41", Some(Packet::Disconnected)),
            ("42[\"hi\"]", Some(Packet::Event(b"[\"hi\"]"))),
            ("4217[\"hi\"]", Some(Packet::Event(b"[\"hi\"]"))),
            ("4312[\"yo\"]", Some(Packet::Ack { id: 12, args: b"[\"yo\"]" })),
            ("44{\"message\":\"no\"}", Some(Packet::ConnectRefused(b"{\"message\":\"no\"}"))),
            ("40/admin,{}", Some(Packet::Other)),
            ("451-[\"b\"]", Some(Packet::Other)),
            ("43[]", None),
            ("4", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(decode(text.as_bytes(), ""), packet, "{text}");
        }
    }

    #[test]
    fn only_the_own_namespace_is_heard() {
        for (text, packet) in [
            ("40/chat,{\"sid\":\"b\"}", Packet::Connected(b"{\"sid\":\"b\"}")),
            ("41/chat,", Packet::Disconnected),
            ("41/chat", Packet::Disconnected),
            ("42/chat,7[\"hi\"]", Packet::Event(b"[\"hi\"]")),
            ("43/chat,12[]", Packet::Ack { id: 12, args: b"[]" }),
            ("44/chat,{\"message\":\"no\"}", Packet::ConnectRefused(b"{\"message\":\"no\"}")),
            ("42[\"hi\"]", Packet::Other),
            ("42/chatter,[\"hi\"]", Packet::Other),
        ] {
            assert_eq!(decode(text.as_bytes(), "/chat,"), Some(packet), "{text}");
        }
    }

    #[test]
    fn numbers_do_not_overflow() {
        assert_eq!(leading_number(b"18446744073709551616x").0, None);
        assert_eq!(leading_number(b"18446744073709551615x").0, Some(u64::MAX));
        assert_eq!(leading_number(b"x"), (None, &b"x"[..]));
    }

    #[test]
    fn payloads_are_found() {
        assert_eq!(first_string(b"[\"12:34:xx\"]"), Some(&b"12:34:xx"[..]));
        assert_eq!(first_string(b"[1]"), None);
        assert_eq!(name_and_string(b"[\"b\",\"7:8:\"]"), Some((&b"b"[..], Some(&b"7:8:"[..]))));
        assert_eq!(name_and_string(b"[\"b\"]"), Some((&b"b"[..], None)));
        assert_eq!(last_string(b"[\"b\",\"7:8:\",\"o\"]"), Some(&b"o"[..]));
        for array in [&b"[\"b\",\"7:8:\"]"[..], b"[\"b\",1,\"o\"]", b"[\"b\",\"x\",\"o\",1]"] {
            assert_eq!(last_string(array), None);
        }
        assert_eq!(stamp(b"7:8:xx"), Some((7, 8)));
        assert_eq!(stamp(b"7;8"), None);
    }
}
