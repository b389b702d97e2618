//! The memory ceiling.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::metrics::Metrics;

/// The kernel's memory for an idle stream, measured. It is not on this process's heap, but a
/// control group's limit counts it, and with a million idle sessions it is the largest part.
const KERNEL_BYTES_PER_STREAM: usize = 4_608;

/// The bytes that a session may hold beyond the ceiling: enough for a client that reads, too little
/// for one that does not.
pub(crate) const HELD_BYTES_BEYOND_CEILING: usize = 64 * 1024;

/// Each step frees this fraction of the ceiling.
const ROOM_SHARE: usize = 32;

/// The ceiling, and the memory in use. Clones share the ceiling.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    /// `usize::MAX`: there is none.
    bytes_max: Arc<AtomicUsize>,
    heap_bytes: fn() -> usize,
}

impl Memory {
    pub(crate) fn new(bytes_max: Option<usize>, heap_bytes: fn() -> usize) -> Self {
        let memory = Self { bytes_max: Arc::default(), heap_bytes };
        memory.set_ceiling(bytes_max);
        memory
    }

    pub(crate) fn set_ceiling(&self, bytes_max: Option<usize>) {
        self.bytes_max.store(bytes_max.unwrap_or(usize::MAX), Ordering::Relaxed);
    }

    pub(crate) fn bytes_max(&self) -> Option<usize> {
        let bytes_max = self.bytes_max.load(Ordering::Relaxed);
        (bytes_max < usize::MAX).then_some(bytes_max)
    }

    pub(crate) fn has_ceiling(&self) -> bool {
        self.bytes_max().is_some()
    }

    /// Whether the memory in use has reached the ceiling.
    pub(crate) fn is_full(&self, metrics: &Metrics) -> bool {
        self.bytes_max().is_some_and(|bytes_max| self.in_use(metrics) >= bytes_max)
    }

    /// The bytes to free: those in use beyond the ceiling, and a fraction of the ceiling.
    pub(crate) fn bytes_beyond(&self, metrics: &Metrics) -> usize {
        let Some(bytes_max) = self.bytes_max() else { return 0 };
        self.in_use(metrics).saturating_sub(bytes_max - bytes_max / ROOM_SHARE)
    }

    fn in_use(&self, metrics: &Metrics) -> usize {
        let streams = usize::try_from(metrics.streams.get()).unwrap_or(0);
        (self.heap_bytes)() + streams * KERNEL_BYTES_PER_STREAM
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_count_beside_the_heap() {
        let metrics = Metrics::default();
        let memory = Memory::new(Some(1_000_000), || 900_000);
        assert!(!memory.is_full(&metrics));
        metrics.streams.set(30);
        assert!(memory.is_full(&metrics));
        let clone = memory.clone();
        memory.set_ceiling(Some(2_000_000));
        assert!(!clone.is_full(&metrics), "clones share it");
        memory.set_ceiling(None);
        assert!(!clone.has_ceiling());
        assert!(!Memory::new(None, || usize::MAX).is_full(&metrics));
    }
}
