//! The ceiling of memory.

use crate::metrics::Metrics;

/// What the kernel keeps for an idle stream, measured. It is not on this process's heap, but a control group's limit
/// counts it, and of a million idle sessions it is most.
const KERNEL_BYTES_PER_STREAM: usize = 4_608;

/// Beyond the ceiling a session may hold so much: enough for a client that reads, too little for one that does not.
pub(crate) const HELD_BYTES_BEYOND_CEILING: usize = 64 * 1024;

/// Of the ceiling, so much is made free at a time.
const ROOM_SHARE: usize = 32;

/// What may be in use, and what is.
#[derive(Debug)]
pub(crate) struct Memory {
    bytes_max: Option<usize>,
    heap_bytes: fn() -> usize,
}

impl Memory {
    pub(crate) fn new(bytes_max: Option<usize>, heap_bytes: fn() -> usize) -> Self {
        Self { bytes_max, heap_bytes }
    }

    pub(crate) fn has_ceiling(&self) -> bool {
        self.bytes_max.is_some()
    }

    /// Whether as much is in use as may be.
    pub(crate) fn is_full(&self, metrics: &Metrics) -> bool {
        self.bytes_max.is_some_and(|bytes_max| self.in_use(metrics) >= bytes_max)
    }

    /// What has to go so that there is room again: what is in use beyond the ceiling, and a share of it.
    pub(crate) fn bytes_beyond(&self, metrics: &Metrics) -> usize {
        let Some(bytes_max) = self.bytes_max else { return 0 };
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
        assert!(!Memory::new(None, || usize::MAX).is_full(&metrics));
    }
}
