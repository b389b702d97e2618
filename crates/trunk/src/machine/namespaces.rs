//! The namespaces that a trunk's app server has numbered (section 7).

use alloc::collections::BTreeMap;

use super::misbehaved::Misbehaved;
use crate::frame::NamespaceNumber;
use crate::text::Str;

/// The names by number, for the life of the trunk.
#[derive(Clone, Debug)]
pub struct Namespaces {
    names: BTreeMap<NamespaceNumber, Str>,
    count_max: usize,
}

impl Namespaces {
    /// An empty table that takes this many.
    pub const fn new(count_max: usize) -> Self {
        Self { names: BTreeMap::new(), count_max }
    }

    /// A `Namespace` came. The name is copied, so that it does not keep its batch.
    pub fn handle_namespace(&mut self, nsp: NamespaceNumber, name: &str) -> Result<(), Misbehaved> {
        if self.names.contains_key(&nsp) {
            return Err(Misbehaved::NamespaceGivenTwice(nsp));
        }
        if self.names.len() == self.count_max {
            return Err(Misbehaved::NamespaceLimit(self.count_max));
        }
        self.names.insert(nsp, name.into());
        Ok(())
    }

    /// The name of a number that a frame uses.
    pub fn name(&self, nsp: NamespaceNumber) -> Result<&Str, Misbehaved> {
        self.names.get(&nsp).ok_or(Misbehaved::NamespaceUnknown(nsp))
    }
}
