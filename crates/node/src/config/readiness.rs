//! What makes a node say that it is not ready.

use super::kinds::ValueKind;

/// A state in which newcomers are better sent elsewhere, if there is somewhere else. Alphabetical.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unready {
    /// As much memory is in use as may be.
    MemoryFull,
    /// No hub has an app server.
    NoAppServer,
    /// There are as many sessions as there may be.
    SessionsFull,
    /// There are as many streams as there may be.
    StreamsFull,
}

impl Unready {
    pub(crate) const ALL: [Self; 4] =
        [Self::MemoryFull, Self::NoAppServer, Self::SessionsFull, Self::StreamsFull];

    /// As configured, and as `/readyz` has it.
    pub fn code(self) -> &'static str {
        match self {
            Self::MemoryFull => "memory_full",
            Self::NoAppServer => "no_app_server",
            Self::SessionsFull => "sessions_full",
            Self::StreamsFull => "streams_full",
        }
    }
}

/// Some of them, between commas.
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
