//! Group names. A group that an app server makes names a namespace and a room:
//! `0~base64url(namespace)~base64url(room)`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use trunkline_trunk::Str;

/// The longest name of a group, in characters.
pub(crate) const NAME_CHARS_MAX: usize = 1024;
const PREFIX: &str = "0~";

/// The meaning of a group's name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Group {
    /// A name that a REST caller chose.
    Plain(String),
    /// A room of Socket.IO; the empty room is the whole namespace.
    Room { namespace: String, room: String },
}

/// A name that no group can have.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a group's name has 1 to {NAME_CHARS_MAX} characters")]
pub(crate) struct BadGroupName;

impl Group {
    /// Reads a name.
    pub(crate) fn parse(name: &str) -> Result<Self, BadGroupName> {
        if name.is_empty() || name.chars().nth(NAME_CHARS_MAX).is_some() {
            return Err(BadGroupName);
        }
        Ok(Self::parse_room(name).unwrap_or_else(|| Self::Plain(name.to_owned())))
    }

    fn parse_room(name: &str) -> Option<Self> {
        let (namespace, room) = name.strip_prefix(PREFIX)?.split_once('~')?;
        let decode = |text: &str| String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok();
        let namespace = decode(namespace)?;
        // Other names could collide with our own names in the switchboard.
        if !namespace.starts_with('/') {
            return None;
        }
        Some(Self::Room { namespace, room: decode(room)? })
    }

    /// The name of the group of a room.
    pub(crate) fn room_name(namespace: &str, room: &str) -> String {
        let (namespace, room) = (URL_SAFE_NO_PAD.encode(namespace), URL_SAFE_NO_PAD.encode(room));
        format!("{PREFIX}{namespace}~{room}")
    }

    /// The room inside its namespace.
    pub(crate) fn room(&self) -> &str {
        match self {
            Self::Plain(name) | Self::Room { room: name, .. } => name,
        }
    }
}

/// A room as a trunk names it. A name that begins with U+0000 would be read as a room that is no
/// text, so it is escaped.
pub(crate) fn room_text(room: &str) -> Str {
    if room.starts_with('\0') {
        Str::from(format!("\0s{}", serde_json::Value::from(room)))
    } else {
        Str::from(room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(namespace: &str, room: &str) -> Group {
        Group::Room { namespace: namespace.into(), room: room.into() }
    }

    #[test]
    fn names_of_rooms_and_others() {
        let table = [
            ("0~Lw~", room("/", "")),
            ("0~Lw~cm9vbQ", room("/", "room")),
            ("0~L2NoYXQ~8J-Yig", room("/chat", "😊")),
            ("0~Lw", Group::Plain("0~Lw".into())),
            ("0~Lw~%", Group::Plain("0~Lw~%".into())),
            ("0~Z3JvdXBz~YQ", Group::Plain("0~Z3JvdXBz~YQ".into())),
            ("vip", Group::Plain("vip".into())),
        ];
        for (name, group) in table {
            assert_eq!(Group::parse(name), Ok(group.clone()), "{name}");
            if let Group::Room { namespace, room } = group {
                assert_eq!(Group::room_name(&namespace, &room), name);
            }
        }
    }

    /// The texts are those of `spec/vectors/rooms.json`.
    #[test]
    fn rooms_are_text_on_a_trunk() {
        for (room, text) in [
            ("", ""),
            ("7", "7"),
            ("a\0", "a\0"),
            ("\0", "\0s\"\\u0000\""),
            ("\0n7", "\0s\"\\u0000n7\""),
        ] {
            assert_eq!(room_text(room), text);
        }
    }

    #[test]
    fn names_at_their_limits() {
        assert_eq!(Group::parse(""), Err(BadGroupName));
        let longest = "é".repeat(NAME_CHARS_MAX);
        assert!(Group::parse(&longest).is_ok());
        assert_eq!(Group::parse(&format!("{longest}e")), Err(BadGroupName));
    }
}
