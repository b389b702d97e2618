//! How many bytes of heap are in use: the system's allocator, with a count beside it.
//!
//! What a session, an outbox or half a message really takes is known here and nowhere else, so that the ceiling of
//! memory needs no estimates. Each thread counts in a place of its own, because a counter that all threads share costs
//! more than the allocation itself.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};
use std::alloc::System;

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

/// What the system has lent us for more than is in use: given back once much has been freed.
///
/// The allocator keeps what lies between blocks in use. After ten thousand handshakes at once that is hundreds of
/// megabytes around the little that sessions hold, for as long as the sessions last.
#[derive(Debug, Default)]
pub(crate) struct Leftover {
    /// The most that was in use since the last time.
    peak: usize,
    /// What was in use when it was looked at last.
    before: usize,
}

impl Leftover {
    /// Less is not worth walking through the heap for.
    const WORTHWHILE: usize = 32 << 20;
    /// Only once the heap has come to rest: what is still falling or rising will need its blocks again, or free more.
    const REST: usize = 1 << 20;

    /// Call now and then with [`bytes_in_use`].
    pub(crate) fn look(&mut self, in_use: usize) -> bool {
        let is_at_rest = in_use.abs_diff(self.before) < Self::REST;
        self.before = in_use;
        self.peak = self.peak.max(in_use);
        let freed = self.peak - in_use;
        let is_due = is_at_rest && freed >= Self::WORTHWHILE && freed >= in_use / 2;
        if is_due {
            self.peak = in_use;
        }
        is_due
    }
}

/// Has the allocator give pages back to the system. Threads that allocate meanwhile wait for some milliseconds.
#[cfg(target_env = "gnu")]
pub(crate) fn give_back() {
    // SAFETY: it takes the allocator's own locks, and touches no block that is in use.
    unsafe { libc::malloc_trim(0) };
}

/// Other allocators do so by themselves, or not at all.
#[cfg(not(target_env = "gnu"))]
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
    fn pages_go_back_once_after_much_was_freed_and_the_heap_has_come_to_rest() {
        const MIB: usize = 1 << 20;
        let mut heap = Leftover::default();
        let looks = [10, 400, 400, 200, 40, 40, 40, 45, 70, 40, 40].map(|mib| heap.look(mib * MIB));
        let due = [false, false, false, false, false, true, false, false, false, false, false];
        assert_eq!(looks, due);
        // 30 MiB more was freed than before, but much more is in use.
        let looks = [1_000, 1_000, 900, 900, 900].map(|mib| heap.look(mib * MIB));
        assert_eq!(looks, [false; 5]);
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
