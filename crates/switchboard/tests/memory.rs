//! The memory that a socket needs. One test only, since the allocator counts for the whole process.

use std::fmt::Write as _;

use trunkline_switchboard::{NamespaceKey, Selection, ServerKey, SessionKey, Switchboard};
use trunkline_testkit::CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

const ROOT: NamespaceKey = NamespaceKey::DEFAULT;
const SOCKETS: u32 = 100_000;
const ROOMS: u32 = 1_000;
const BYTES_PER_SOCKET_MAX: usize = 160;
const BYTES_PER_MEMBERSHIP_MAX: usize = 24;

#[test]
fn a_socket_costs_little_and_a_broadcast_allocates_nothing() {
    let before = ALLOCATOR.live_bytes();
    let mut board = Switchboard::new([1; 16]);
    // Measure every size on the way, since lists grow in steps.
    let mut id = String::new();
    let mut per_socket_max = 0;
    for session in 0..SOCKETS {
        write_id(&mut id, session);
        board.attach(SessionKey(session), ServerKey(0), ROOT, &id, []).unwrap();
        if session > SOCKETS / 2 {
            let bytes = ALLOCATOR.live_bytes() - before;
            per_socket_max = per_socket_max.max(bytes / session as usize);
        }
    }
    let bytes = ALLOCATOR.live_bytes() - before;
    println!("{} bytes per socket, {per_socket_max} at worst", bytes / SOCKETS as usize);
    assert!(per_socket_max <= BYTES_PER_SOCKET_MAX, "{per_socket_max}");

    let per_membership = memberships(&mut board, bytes, before);
    println!("{per_membership} bytes per membership of two");
    assert!(per_membership <= BYTES_PER_MEMBERSHIP_MAX, "{per_membership}");

    let allocations = ALLOCATOR.allocations();
    let mut visits = 0_u32;
    let rooms = &["1", "2", "3"][..];
    for selection in [
        Selection { except: rooms, ..Selection::default() },
        Selection { rooms, except: &["2", "4"], ..Selection::default() },
        Selection { server: Some(ServerKey(0)), ..Selection::default() },
    ] {
        board.select(ROOT, &selection, &mut |_| visits += 1);
    }
    assert_eq!(ALLOCATOR.allocations(), allocations);
    assert!(visits > SOCKETS, "{visits}");
}

/// Puts every socket into two rooms. Returns the bytes per membership.
fn memberships(board: &mut Switchboard, bytes: usize, before: usize) -> usize {
    let mut room = String::new();
    for session in 0..SOCKETS {
        for number in [session % ROOMS, (session + 1) % ROOMS] {
            room.clear();
            write!(room, "{number}").expect("a string takes everything");
            assert!(board.join(SessionKey(session), ROOT, &room));
        }
    }
    (ALLOCATOR.live_bytes() - before - bytes) / (2 * SOCKETS as usize)
}

/// Writes an id of twenty characters, as long as Socket.IO's, into a buffer that is reused.
fn write_id(id: &mut String, session: u32) {
    id.clear();
    write!(id, "{session:020}").expect("a string takes everything");
}
