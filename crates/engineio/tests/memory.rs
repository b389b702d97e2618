//! The memory that one of a million sessions needs when it is idle, and what a broadcast adds.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::rc::Rc;

use bytes::Bytes;
use trunkline_engineio::{
    AgreedDeflate, Body, Config, Deflate, Delivery, Outgoing, Protocol, Sent, Session, Timestamp,
    Transmit, TransportKind,
};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<isize> = const { Cell::new(0) };
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on unchanged; the counters allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        LIVE.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of this function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.with(|count| count.set(count.get() - 1));
        // SAFETY: the caller keeps the contract of this function.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const NOW: Timestamp = Timestamp::ORIGIN;

fn idle(config: &Rc<Config>, protocol: Protocol) -> Session {
    let config = Rc::clone(config);
    let mut session = Session::new(NOW, config, protocol, TransportKind::WebSocket, "SID");
    while session.poll_transmit().is_some() {}
    session
}

#[test]
fn an_idle_session_owns_no_heap_memory() {
    assert!(size_of::<Session>() <= 160);
    let config = Rc::new(Config::default());
    for protocol in [Protocol::V3, Protocol::V4] {
        let before = LIVE.with(Cell::get);
        let mut session = idle(&config, protocol);
        assert_eq!(LIVE.with(Cell::get), before, "after the handshake");
        for _ in 0..3 {
            let message = Outgoing::new(true, Bytes::from_static(b"message"));
            assert_eq!(session.send(NOW, &message, Delivery::Reliable), Sent::Queued);
        }
        while session.poll_transmit().is_some() {}
        session.handle_message(NOW, Body::Text("4hello")).unwrap();
        assert_eq!(LIVE.with(Cell::get), before, "after messages");
    }
}

#[test]
fn a_broadcast_allocates_nothing_per_receiver() {
    let config = Rc::new(Config::default());
    let sessions = (0..100).map(|_| idle(&config, Protocol::V4)).collect();
    broadcast(sessions, &Outgoing::new(false, Bytes::from_static(b"2[\"news\"]")));
}

#[test]
fn a_compressed_broadcast_allocates_nothing_per_receiver() {
    let config = Rc::new(Config::default());
    let deflate = Deflate::new(trunkline_websocket::deflate::ServerSettings::default());
    let mut sessions: Vec<_> = (0..100).map(|_| idle(&config, Protocol::V4)).collect();
    for session in &mut sessions {
        let deflate = Rc::clone(&deflate);
        session.set_deflate(Some(AgreedDeflate { deflate, window_bits: 15 }));
    }
    broadcast(sessions, &Outgoing::new(false, Bytes::from("2[\"news\"]".repeat(200))));
}

fn broadcast(mut sessions: Vec<Session>, message: &Rc<Outgoing>) {
    let deliver = |session: &mut Session| {
        assert_eq!(session.send(NOW, message, Delivery::Reliable), Sent::Queued);
        assert!(matches!(session.poll_transmit(), Some(Transmit::Frame(_))));
        assert_eq!(session.poll_transmit(), None);
    };
    let (first, rest) = sessions.split_first_mut().expect("a hundred sessions");
    let before = ALLOCATIONS.with(Cell::get);
    deliver(first);
    let encoded = ALLOCATIONS.with(Cell::get);
    assert!(encoded > before, "the first receiver's frame is made");
    rest.iter_mut().for_each(deliver);
    assert_eq!(ALLOCATIONS.with(Cell::get), encoded);
}
