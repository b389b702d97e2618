//! How many bytes of heap are in use: the system's allocator, with a count beside it, and an eye on what it keeps.
//!
//! What a session, an outbox or half a message really takes is known here and nowhere else, so that the ceiling of
//! memory needs no estimates. Each thread counts in a place of its own, because a counter that all threads share costs
//! more than the allocation itself.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};
use std::alloc::System;
use std::time::Instant;

/// Threads beyond the last place share it.
const PLACES: usize = 64;
const SHARED: usize = PLACES - 1;
const UNKNOWN: usize = usize::MAX;

/// A line of the cache for each place.
#[repr(align(64))]
struct Place(AtomicIsize);

static BYTES: [Place; PLACES] = [const { Place(AtomicIsize::new(0)) }; PLACES];
static PLACES_TAKEN: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    // Without a destructor, so that it may be used while a thread begins and ends.
    static OWN: Cell<usize> = const { Cell::new(UNKNOWN) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Counting;

/// Bytes asked for and not yet given back, by all threads together.
pub(crate) fn bytes_in_use() -> usize {
    let taken = PLACES_TAKEN.load(Ordering::Relaxed).min(PLACES);
    // One thread gives back what another took: only the sum means something.
    let sum: isize = BYTES[..taken].iter().map(|place| place.0.load(Ordering::Relaxed)).sum();
    usize::try_from(sum).unwrap_or(0)
}

/// What the system has lent us beyond what is in use: given back when it is much.
///
/// The allocator keeps what lies between blocks in use. After ten thousand handshakes at once that is hundreds of
/// megabytes around the little that sessions hold, for as long as the sessions last.
#[derive(Debug, Default)]
pub(crate) struct Leftover {
    /// What could not be given back the last time, with all that is not heap at all.
    floor: usize,
    /// What was in use when it was looked at last.
    before: usize,
}

impl Leftover {
    /// Less is not worth walking through the heap for.
    const WORTHWHILE: usize = 32 << 20;
    /// Only once the heap has come to rest: what still falls or rises will need its blocks again, or free more. Of a
    /// large heap some part moves all the time.
    const REST: usize = 1 << 20;
    const REST_SHARE: usize = 64;

    /// Call now and then. Gives back what is worth it.
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

/// Bytes of memory that this process has of the system; 0 where it does not say.
pub(crate) fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|fields| fields.split(' ').nth(1)?.parse::<usize>().ok());
    pages.unwrap_or(0).saturating_mul(rustix::param::page_size())
}

/// Has the allocator give pages back to the system. Threads that allocate meanwhile wait for some milliseconds.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn give_back() {
    // SAFETY: it takes the allocator's own locks, and touches no block that is in use.
    unsafe { libc::malloc_trim(0) };
}

/// Other allocators do so by themselves, or not at all.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_back() {}

fn count(bytes: isize) {
    let place = OWN.get();
    if place < SHARED {
        // Nobody else writes here, so that this needs no atomic addition.
        let own = &BYTES[place].0;
        own.store(own.load(Ordering::Relaxed).wrapping_add(bytes), Ordering::Relaxed);
    } else if place == SHARED {
        BYTES[SHARED].0.fetch_add(bytes, Ordering::Relaxed);
    } else {
        OWN.set(PLACES_TAKEN.fetch_add(1, Ordering::Relaxed).min(SHARED));
        count(bytes);
    }
}

/// A layout's size is at most `isize::MAX`, says [`Layout`].
fn signed(bytes: usize) -> isize {
    bytes.cast_signed()
}

// SAFETY: every method passes its arguments on to `System` unchanged and returns what it returned; counting neither
// allocates nor panics.
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
        /// Not heap, or between blocks that stay.
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
        // Other tests take and give back at the same time, far less than this.
        const AT_LEAST: usize = BIG / 2;
        let before = bytes_in_use();
        let block = std::thread::spawn(|| vec![1_u8; BIG]).join().expect("it ends");
        assert!(bytes_in_use() >= before + AT_LEAST, "{before} and then {}", bytes_in_use());
        drop(block);
        assert!(bytes_in_use() < before + AT_LEAST, "{before} and then {}", bytes_in_use());
    }
}
