//! What is complete in one read costs no memory; an idle decoder holds none.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ops::ControlFlow;

use trunkline_websocket::{Decoder, Opcode, Role, encode};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static ALLOCATED_BYTES: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on unchanged; the counter allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        ALLOCATED_BYTES.with(|bytes| bytes.set(bytes.get() + layout.size()));
        // SAFETY: the caller keeps the contract of this very function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of this very function.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(run: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.with(Cell::get);
    run();
    ALLOCATIONS.with(Cell::get) - before
}

#[test]
fn whole_messages_are_not_copied() {
    assert!(size_of::<Decoder>() <= 16);
    let mask = Some([1, 2, 3, 4]);
    let mut input =
        [encode(Opcode::Text, b"hello", mask), encode(Opcode::Ping, b"", mask)].concat();
    let mut decoder = Decoder::new();
    let mut seen = 0;
    let count = allocations(|| {
        let result = decoder.decode(Role::Server, 100, &mut input, &mut |_| {
            seen += 1;
            ControlFlow::Continue(())
        });
        assert_eq!(result, Ok(()));
    });
    assert_eq!((seen, count), (2, 0));
    assert!(decoder.is_idle());
}

#[test]
fn a_torn_message_is_forgotten_when_it_is_delivered() {
    let mut frame = encode(Opcode::Binary, &[7; 50], None).to_vec();
    let (head, tail) = frame.split_at_mut(20);
    let mut decoder = Decoder::new();
    let mut seen = 0;
    let mut on = |_: trunkline_websocket::Incoming<'_>| {
        seen += 1;
        ControlFlow::Continue(())
    };
    let torn = allocations(|| decoder.decode(Role::Client, 100, head, &mut on).unwrap());
    assert!(torn > 0, "the counter counts");
    assert!(!decoder.is_idle());
    decoder.decode(Role::Client, 100, tail, &mut on).unwrap();
    assert!(decoder.is_idle());
    assert_eq!(seen, 1);
    let idle = allocations(|| drop(decoder));
    assert_eq!(idle, 0);
}

/// A peer that announces a petabyte costs no more than what it sent.
#[test]
fn a_hostile_length_takes_no_memory() {
    let mut decoder = Decoder::new();
    let mut header = *b"\x82\x7f\x00\x04\x00\x00\x00\x00\x00\x00abc";
    let before = ALLOCATED_BYTES.with(Cell::get);
    let result =
        decoder.decode(Role::Client, usize::MAX, &mut header, &mut |_| ControlFlow::Continue(()));
    assert_eq!(result, Ok(()));
    assert!(!decoder.is_idle());
    let allocated_bytes = ALLOCATED_BYTES.with(Cell::get) - before;
    assert!((1..500).contains(&allocated_bytes), "{allocated_bytes} bytes");
}
