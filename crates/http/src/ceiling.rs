//! The node's memory ceiling, for code that does not know the node.

use std::fmt;
use std::sync::Arc;

/// Answers whether the node's memory is full. Cheap to clone.
#[derive(Clone)]
pub struct Ceiling(Arc<dyn Fn() -> bool + Send + Sync>);

impl Ceiling {
    /// A ceiling that calls `is_full` each time.
    pub fn new(is_full: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_full))
    }

    /// Whether the memory in use has reached the ceiling.
    #[must_use]
    pub fn is_full(&self) -> bool {
        (self.0)()
    }
}

impl fmt::Debug for Ceiling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ceiling").field(&self.is_full()).finish()
    }
}
