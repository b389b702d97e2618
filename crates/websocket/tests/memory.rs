//! A message that is complete in one read needs no memory; an idle decoder holds none; a
//! decompression bomb needs no more than the limit.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ops::ControlFlow;

use trunkline_websocket::deflate::{Deflater, inflate};
use trunkline_websocket::{Decoder, Opcode, PeerMisbehaved, Role, Rules, encode, encode_deflated};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static ALLOCATED_BYTES: Cell<usize> = const { Cell::new(0) };
    /// Negative where a thread frees memory that another allocated.
    static LIVE_BYTES: Cell<isize> = const { Cell::new(0) };
    static PEAK_BYTES: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on unchanged; the counter allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        ALLOCATED_BYTES.with(|bytes| bytes.set(bytes.get() + layout.size()));
        LIVE_BYTES.with(|bytes| bytes.set(bytes.get() + layout.size() as isize));
        PEAK_BYTES.with(|peak| peak.set(peak.get().max(LIVE_BYTES.with(Cell::get))));
        // SAFETY: the caller keeps the contract of this function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE_BYTES.with(|bytes| bytes.set(bytes.get() - layout.size() as isize));
        // SAFETY: the caller keeps the contract of this function.
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

/// How many zeros one byte in the middle of a bomb stands for: four matches of the longest length.
const ZEROS_PER_BYTE: usize = 4 * 258;

/// A payload that inflates to `100_000 + extra_bytes * ZEROS_PER_BYTE` zeros: the middle of a
/// smaller one, drawn out.
fn bomb(extra_bytes: usize) -> Vec<u8> {
    let mut payload = Deflater::new(9, 15).compress(&[&[0; 100_000]]).to_vec();
    let middle = payload.len() / 2;
    let run = payload[middle];
    assert!(payload[middle - 10..middle + 10].iter().all(|byte| *byte == run));
    payload.splice(middle..middle, std::iter::repeat_n(run, extra_bytes));
    payload
}

#[test]
fn a_bomb_costs_no_more_than_the_limit() {
    const MESSAGE_BYTES_MAX: usize = 2_000_000;
    const GIGABYTE: usize = 1 << 30;
    let small = inflate(&bomb(5), usize::MAX).unwrap();
    assert_eq!(small.len(), 100_000 + 5 * ZEROS_PER_BYTE);
    assert!(small.iter().all(|byte| *byte == 0));

    let mut frame =
        encode_deflated(Opcode::Text, &bomb(GIGABYTE / ZEROS_PER_BYTE + 1), None).to_vec();
    assert!(frame.len() < MESSAGE_BYTES_MAX, "only what it inflates to is too long");
    let rules = Rules { role: Role::Client, message_bytes_max: MESSAGE_BYTES_MAX, deflate: true };
    let before = LIVE_BYTES.with(Cell::get);
    PEAK_BYTES.with(|peak| peak.set(before));
    let result = Decoder::new().decode_with(rules, &mut frame, &mut |_| panic!("no message"));
    assert_eq!(result, Err(PeerMisbehaved::MessageTooBig));
    assert_eq!(PeerMisbehaved::MessageTooBig.close_code(), 1009);
    let peak_bytes = (PEAK_BYTES.with(Cell::get) - before) as usize;
    // While the output grows, the old buffer exists too.
    assert!((MESSAGE_BYTES_MAX..2 * MESSAGE_BYTES_MAX).contains(&peak_bytes), "{peak_bytes} bytes");
}

/// The window of a message is gone with the message.
#[test]
fn a_compressed_message_leaves_nothing_behind() {
    let rules = Rules { role: Role::Client, message_bytes_max: 10_000, deflate: true };
    let payload = Deflater::new(6, 15).compress(&[&[7; 5000]]);
    let mut frame = encode_deflated(Opcode::Binary, &payload, None).to_vec();
    let mut decoder = Decoder::new();
    let before = LIVE_BYTES.with(Cell::get);
    let mut lens = [0; 2];
    for len in &mut lens {
        decoder
            .decode_with(rules, &mut frame, &mut |incoming| {
                if let trunkline_websocket::Incoming::Binary(bytes) = incoming {
                    *len = bytes.len();
                }
                ControlFlow::Continue(())
            })
            .unwrap();
    }
    assert_eq!(lens, [5000, 5000]);
    assert_eq!(LIVE_BYTES.with(Cell::get), before);
    assert!(decoder.is_idle());
}
