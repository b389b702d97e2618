//! The states in which a node reports that it is not ready.

use super::kinds::ValueKind;

/// A state in which new connections should go to other nodes, if there are any. In alphabetical
/// order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unready {
    /// The memory in use has reached the ceiling.
    MemoryFull,
    /// No hub has an app server.
    NoAppServer,
    /// The number of sessions has reached its limit.
    SessionsFull,
    /// The number of streams has reached its limit.
    StreamsFull,
}

impl Unready {
    pub(crate) const ALL: [Self; 4] =
        [Self::MemoryFull, Self::NoAppServer, Self::SessionsFull, Self::StreamsFull];

    /// The name in the configuration and at `/readyz`.
    pub fn code(self) -> &'static str {
        match self {
            Self::MemoryFull => "memory_full",
            Self::NoAppServer => "no_app_server",
            Self::SessionsFull => "sessions_full",
            Self::StreamsFull => "streams_full",
        }
    }
}

/// A selection of states, separated by commas.
pub(crate) struct UnreadyOn;

impl ValueKind for UnreadyOn {
    type Value = Vec<Unready>;

    fn placeholder(&self) -> &'static str {
        "CAUSES"
    }

    fn allowed(&self) -> String {
        let codes: Vec<&str> = Unready::ALL.into_iter().map(Unready::code).collect();
        format!("{}, with commas between them; or \"none\"", codes.join(", "))
    }

    fn parse(&self, text: &str) -> Result<Vec<Unready>, String> {
        if text == "none" {
            return Ok(Vec::new());
        }
        let read = |code: &str| {
            let found = Unready::ALL.into_iter().find(|one| one.code() == code.trim());
            found.ok_or_else(|| format!("names `{}`, which is no cause", code.escape_debug()))
        };
        text.split(',').map(read).collect()
    }

    fn show(&self, value: &Vec<Unready>) -> String {
        let codes: Vec<&str> = value.iter().map(|one| one.code()).collect();
        if codes.is_empty() { "none".into() } else { codes.join(",") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_read_and_shown() {
        for text in ["none", "no_app_server", "memory_full,sessions_full,streams_full"] {
            assert_eq!(UnreadyOn.show(&UnreadyOn.parse(text).expect(text)), text);
        }
        let wrong = UnreadyOn.parse("sessions_full,full").expect_err("no cause");
        assert_eq!(wrong, "names `full`, which is no cause");
        assert!(UnreadyOn.parse("").is_err());
    }
}
