//! The memory that events of a hub's connections hold while they wait.

use std::collections::HashMap;

use super::event::Facts;

/// The bytes that one connection may hold while there is any room.
const CONNECTION_BYTES: usize = 4096;
/// Beyond that, a connection may hold this fraction (an eighth) of the total.
const CONNECTION_SHARE: usize = 8;
/// The last quarter of the room is for connections that hold less than [`CONNECTION_BYTES`], so
/// that others cannot take all of it.
const RESERVE_SHARE: usize = 4;

/// Waiting bytes, in total and by connection.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    pub(super) bytes: usize,
    by_connection: HashMap<Box<str>, usize>,
}

impl Waiting {
    /// Whether a connection may hold this many more bytes when all together may hold `bytes_max`.
    pub(super) fn fits(&self, connection: &Facts, bytes: usize, bytes_max: usize) -> bool {
        let own = self.by_connection.get(&connection.connection).copied().unwrap_or(0);
        let (own, all) = (own + bytes, self.bytes + bytes);
        // The first event of a connection may be longer than its share: events have a bound of
        // their own.
        let first = own == bytes || own <= CONNECTION_BYTES;
        let beside =
            all <= bytes_max - bytes_max / RESERVE_SHARE && own <= bytes_max / CONNECTION_SHARE;
        all <= bytes_max && (first || beside)
    }

    pub(super) fn hold(&mut self, connection: &Facts, bytes: usize) {
        self.bytes += bytes;
        if let Some(own) = self.by_connection.get_mut(&connection.connection) {
            *own += bytes;
        } else {
            self.by_connection.insert(connection.connection.clone(), bytes);
        }
    }

    pub(super) fn release(&mut self, connection: &Facts, bytes: usize) {
        self.bytes -= bytes;
        if let Some(own) = self.by_connection.get_mut(&connection.connection) {
            *own -= bytes;
            if *own == 0 {
                self.by_connection.remove(&connection.connection);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(connection: &str) -> Facts {
        Facts {
            address: "192.0.2.1".into(),
            connection: connection.into(),
            user: None,
            connect_body: "{}".into(),
        }
    }

    /// The bytes that a connection gets when it asks for a kilobyte at a time.
    fn fill(waiting: &mut Waiting, connection: &Facts, bytes_max: usize) -> usize {
        let mut held = 0;
        while waiting.fits(connection, 1000, bytes_max) {
            waiting.hold(connection, 1000);
            held += 1000;
        }
        held
    }

    #[test]
    fn no_connection_takes_the_room_of_all_others() {
        let (mut waiting, bytes_max) = (Waiting::default(), 64 << 20);
        let hogs: Vec<_> = (0..170).map(|n| facts(&format!("h{n}"))).collect();
        let first = fill(&mut waiting, &hogs[0], bytes_max);
        assert!(first < bytes_max / 4, "{first}");
        for hog in &hogs[1..] {
            fill(&mut waiting, hog, bytes_max);
        }
        assert!(fill(&mut waiting, &facts("newcomer"), bytes_max) >= 4000);
        assert!(waiting.bytes <= bytes_max);
    }

    #[test]
    fn what_is_released_is_forgotten() {
        let mut waiting = Waiting::default();
        waiting.hold(&facts("a"), 10);
        waiting.hold(&facts("a"), 20);
        waiting.release(&facts("a"), 30);
        assert_eq!(waiting.bytes, 0);
        assert!(waiting.by_connection.is_empty());
    }
}
