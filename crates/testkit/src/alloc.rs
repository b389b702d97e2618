//! How much memory a test holds.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The system allocator with counters. A test binary makes it its `#[global_allocator]`. The
/// counters cover the whole process, so such a binary should have one test.
#[derive(Debug, Default)]
pub struct CountingAllocator {
    live_bytes: AtomicUsize,
    allocations: AtomicUsize,
}

impl CountingAllocator {
    /// All counters at zero.
    pub const fn new() -> Self {
        Self { live_bytes: AtomicUsize::new(0), allocations: AtomicUsize::new(0) }
    }

    /// Bytes allocated and not yet freed, without the system's own overhead.
    pub fn live_bytes(&self) -> usize {
        self.live_bytes.load(Ordering::Relaxed)
    }

    /// Calls that allocated memory, including those that grow a block, since the process began.
    pub fn allocations(&self) -> usize {
        self.allocations.load(Ordering::Relaxed)
    }

    fn count(&self, bytes: usize) {
        self.live_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.allocations.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every method passes its arguments on to `System` unchanged and returns what it returned.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.count(layout.size());
        // SAFETY: the caller keeps `GlobalAlloc`'s contract, which is also that of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.live_bytes.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as in `alloc`; the block came from `System`.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.live_bytes.fetch_sub(layout.size(), Ordering::Relaxed);
        self.count(size);
        // SAFETY: as in `dealloc`.
        unsafe { System.realloc(block, layout, size) }
    }
}
