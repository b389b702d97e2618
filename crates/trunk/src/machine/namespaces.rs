//! The namespaces that a trunk's app server has numbered (section 7).

use alloc::collections::BTreeMap;

use super::misbehaved::Misbehaved;
use crate::frame::{Broadcast, Frame, NamespaceNumber};
use crate::text::Str;

/// The names of namespaces by number.
#[derive(Clone, Debug)]
pub struct Namespaces {
    names: BTreeMap<NamespaceNumber, Str>,
    count_max: usize,
}

impl Namespaces {
    /// An empty table for at most `count_max` names.
    pub const fn new(count_max: usize) -> Self {
        Self { names: BTreeMap::new(), count_max }
    }

    /// Handles a frame: notes the numbers that it gives or frees, and refuses an unknown number.
    ///
    /// A name is copied, so that it does not keep its batch alive.
    pub fn handle(&mut self, frame: &Frame) -> Result<(), Misbehaved> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the others name no namespace")]
        match frame {
            Frame::Namespace { nsp, name } => self.give(*nsp, name),
            Frame::Release { nsp } => match self.names.remove(nsp) {
                Some(_) => Ok(()),
                None => Err(Misbehaved::NamespaceUnknown(*nsp)),
            },
            Frame::Attach { nsp, .. }
            | Frame::Beside { nsp, .. }
            | Frame::Choose { nsp, .. }
            | Frame::Detach { nsp, .. }
            | Frame::Join { nsp, .. }
            | Frame::Leave { nsp, .. }
            | Frame::Broadcast(Broadcast { nsp, .. })
            | Frame::Recorded { broadcast: Broadcast { nsp, .. }, .. }
            | Frame::Restore { nsp, .. }
            | Frame::GiveBack { nsp, .. } => self.name(*nsp).map(drop),
            Frame::Reattach(reattach) => self.name(reattach.nsp).map(drop),
            Frame::Persist(persist) => self.name(persist.nsp).map(drop),
            Frame::State(state) => self.name(state.nsp).map(drop),
            _ => Ok(()),
        }
    }

    /// The name of a number that a frame uses.
    pub fn name(&self, nsp: NamespaceNumber) -> Result<&Str, Misbehaved> {
        self.names.get(&nsp).ok_or(Misbehaved::NamespaceUnknown(nsp))
    }

    fn give(&mut self, nsp: NamespaceNumber, name: &str) -> Result<(), Misbehaved> {
        if self.names.contains_key(&nsp) {
            return Err(Misbehaved::NamespaceGivenTwice(nsp));
        }
        if self.names.len() >= self.count_max {
            return Err(Misbehaved::NamespaceLimit(self.count_max));
        }
        self.names.insert(nsp, name.into());
        Ok(())
    }
}
