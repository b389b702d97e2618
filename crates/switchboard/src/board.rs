//! The registry itself.

use crate::{AttachError, Counts, NamespaceKey, Selection, ServerKey, SessionKey};

/// Sessions, their sockets and rooms, of one hub in one shard.
#[derive(Debug)]
pub struct Switchboard {
    seed: [u8; 16],
}

impl Switchboard {
    /// An empty switchboard. `seed` must be random: socket ids and room names are chosen by strangers,
    /// and the seed keeps them from choosing names that all hash alike.
    pub fn new(seed: [u8; 16]) -> Self {
        Self { seed }
    }

    /// Interns a namespace name and holds it: give each hold back with [`Self::release_namespace`].
    pub fn namespace(&mut self, _name: &str) -> NamespaceKey {
        let _ = self.seed;
        NamespaceKey::DEFAULT
    }

    /// Gives one hold back. The namespace is forgotten, and its number reused, once it is neither held
    /// nor has a socket. `/` stays.
    pub fn release_namespace(&mut self, _nsp: NamespaceKey) {}

    /// Makes `session` a socket of `nsp`, in `rooms` and in the room named by its id. An earlier socket of
    /// the session in this namespace ends first.
    pub fn attach<'r>(
        &mut self,
        _session: SessionKey,
        _server: ServerKey,
        _nsp: NamespaceKey,
        _socket_id: &str,
        _rooms: impl IntoIterator<Item = &'r str>,
    ) -> Result<(), AttachError> {
        Ok(())
    }

    /// Ends the socket of `session` in `nsp`; false when there is none.
    pub fn detach(&mut self, _session: SessionKey, _nsp: NamespaceKey) -> bool {
        false
    }

    /// False when there is no such socket or it is in the room already.
    pub fn join(&mut self, _session: SessionKey, _nsp: NamespaceKey, _room: &str) -> bool {
        false
    }

    /// False when there is no such socket or it is not in the room.
    pub fn leave(&mut self, _session: SessionKey, _nsp: NamespaceKey, _room: &str) -> bool {
        false
    }

    /// Ends all sockets of `session`.
    pub fn remove_session(&mut self, _session: SessionKey) {}

    /// Visits each selected session once.
    pub fn select(
        &mut self,
        _nsp: NamespaceKey,
        _selection: &Selection<'_>,
        _visit: &mut dyn FnMut(SessionKey),
    ) {
    }

    /// How much is held now; O(1).
    pub fn counts(&self) -> Counts {
        Counts::default()
    }
}
