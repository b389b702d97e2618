//! The bytes of heap in use: the system's allocator with a counter, and a task that returns unused
//! memory to the system.
//!
//! This is the only place that knows what a session, an outbox or half a message really takes, so
//! the memory ceiling needs no estimates. Each thread has its own counter, because a counter that
//! all threads share costs more than the allocation itself.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};
use std::alloc::System;
use std::time::Instant;

/// The number of counters; further threads share the last one.
const PLACES: usize = 64;
const SHARED: usize = PLACES - 1;
const UNKNOWN: usize = usize::MAX;

/// One counter per cache line.
#[repr(align(64))]
struct Place(AtomicIsize);

static BYTES: [Place; PLACES] = [const { Place(AtomicIsize::new(0)) }; PLACES];
static PLACES_TAKEN: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    // The cell has no destructor, so that it may be used while a thread begins and ends.
    static OWN: Cell<usize> = const { Cell::new(UNKNOWN) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Counting;

/// Bytes that all threads together have allocated and not yet freed.
pub(crate) fn bytes_in_use() -> usize {
    let taken = PLACES_TAKEN.load(Ordering::Relaxed).min(PLACES);
    // One thread may free what another allocated: only the sum has a meaning.
    let sum: isize = BYTES[..taken].iter().map(|place| place.0.load(Ordering::Relaxed)).sum();
    usize::try_from(sum).unwrap_or(0)
}

/// Memory that the allocator holds beyond what is in use; it is returned to the system when it is
/// much.
///
/// The allocator keeps free blocks between blocks in use. After ten thousand handshakes at once
/// these are hundreds of megabytes around the little that sessions hold, for as long as the
/// sessions last.
#[derive(Debug, Default)]
pub(crate) struct Leftover {
    /// Memory that could not be returned the last time, including memory that is not heap.
    floor: usize,
    /// The bytes in use at the last look.
    before: usize,
}

impl Leftover {
    /// Less than this is not worth a walk through the heap.
    const WORTHWHILE: usize = 32 << 20;
    /// The largest change between two looks at which the heap counts as settled. While the use
    /// rises, free blocks will be needed again; while it falls, more will become free. A large heap
    /// never stands entirely still.
    const REST: usize = 1 << 20;
    const REST_SHARE: usize = 64;

    /// Returns memory to the system if that is worth it. Call it at intervals.
    pub(crate) fn look(
        &mut self,
        resident: impl Fn() -> usize,
        in_use: usize,
        give_back: impl FnOnce(),
    ) {
        let is_at_rest = in_use.abs_diff(self.before) < Self::REST.max(in_use / Self::REST_SHARE);
        self.before = in_use;
        let beyond = || resident().saturating_sub(in_use);
        let now = beyond();
        self.floor = self.floor.min(now);
        let worth = now - self.floor;
        if is_at_rest && worth >= Self::WORTHWHILE && worth >= in_use / 2 {
            let begun = Instant::now();
            give_back();
            self.floor = beyond();
            let (bytes, took) = (now.saturating_sub(self.floor), begun.elapsed());
            tracing::debug!(bytes, ?took, in_use, "memory given back to the system");
        }
    }
}

/// Bytes of memory that this process has from the system; 0 where the system does not say.
pub(crate) fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|fields| fields.split(' ').nth(1)?.parse::<usize>().ok());
    pages.unwrap_or(0).saturating_mul(rustix::param::page_size())
}

/// Makes the allocator return pages to the system. Threads that allocate meanwhile wait for some
/// milliseconds.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn give_back() {
    // SAFETY: the function takes the allocator's own locks, and touches no block in use.
    unsafe { libc::malloc_trim(0) };
}

/// Other allocators return pages by themselves, or not at all.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_back() {}

fn count(bytes: isize) {
    let place = OWN.get();
    if place < SHARED {
        // Only this thread writes here, so no atomic addition is needed.
        let own = &BYTES[place].0;
        own.store(own.load(Ordering::Relaxed).wrapping_add(bytes), Ordering::Relaxed);
    } else if place == SHARED {
        BYTES[SHARED].0.fetch_add(bytes, Ordering::Relaxed);
    } else {
        OWN.set(PLACES_TAKEN.fetch_add(1, Ordering::Relaxed).min(SHARED));
        count(bytes);
    }
}

/// The size as a signed number: a layout's size is at most `isize::MAX`, says [`Layout`].
fn signed(bytes: usize) -> isize {
    bytes.cast_signed()
}

// SAFETY: every method passes its arguments on to `System` unchanged and returns what it returned. Counting neither
// allocates nor panics, so it neither comes back here nor unwinds out of an allocation: `OWN` has no destructor and a
// constant first value, so it can be read at any time of a thread's life; `place` is at most `SHARED`, which is the last
// index of `BYTES`; and the additions wrap.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        // SAFETY: the caller keeps `GlobalAlloc`'s contract, which is also that of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-signed(layout.size()));
        // SAFETY: as in `alloc`; the block came from `System`.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(signed(size).wrapping_sub(signed(layout.size())));
        // SAFETY: as in `dealloc`.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_go_back_once_the_heap_has_come_to_rest_and_what_stays_is_not_asked_for_again() {
        const MIB: usize = 1 << 20;
        /// Memory that is not heap, or lies between blocks that stay.
        const STAYS: usize = 60;
        let mut heap = Leftover::default();
        let mut resident = 10;
        let mut calls = Vec::new();
        for (look, in_use) in
            [2, 300, 300, 20, 20, 20, 20, 900, 900, 880, 880, 40, 40, 40].into_iter().enumerate()
        {
            resident = resident.max(in_use + STAYS);
            let left = Cell::new(resident);
            heap.look(
                || left.get() * MIB,
                in_use * MIB,
                || {
                    calls.push(look);
                    left.set(in_use + STAYS);
                },
            );
            resident = left.get();
        }
        assert_eq!(calls, [4, 12]);
    }

    #[test]
    fn the_system_says_what_we_have() {
        assert!(resident_bytes() > 1 << 20, "{}", resident_bytes());
    }

    #[test]
    fn what_is_held_is_counted_until_it_is_given_back_by_whatever_thread() {
        const BIG: usize = 64 << 20;
        // Other tests allocate and free at the same time, but far less than this.
        const AT_LEAST: usize = BIG / 2;
        let before = bytes_in_use();
        let block = std::thread::spawn(|| vec![1_u8; BIG]).join().expect("it ends");
        assert!(bytes_in_use() >= before + AT_LEAST, "{before} and then {}", bytes_in_use());
        drop(block);
        assert!(bytes_in_use() < before + AT_LEAST, "{before} and then {}", bytes_in_use());
    }
}
