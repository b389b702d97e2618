//! The switchboard's selection of a broadcast's receivers.

use std::hint::black_box;

use trunkline_switchboard::{NamespaceKey, Selection, ServerKey, SessionKey, Switchboard};

use crate::Case;

const SESSIONS: u32 = 10_000;
const ROOMS: u32 = 500;
const SEED: [u8; 16] = [7; 16];

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "switchboard: receiver selected of all 10,000",
        each: SESSIONS,
        run: |times| select(times, &[], &[]),
    },
    Case {
        name: "switchboard: room of 20 selected",
        each: 1,
        run: |times| select(times, &["r7"], &[]),
    },
    Case {
        name: "switchboard: room of 20 but one selected",
        each: 1,
        run: |times| select(times, &["r7"], &["socket-7"]),
    },
    Case { name: "switchboard: room joined and left", each: 1, run: join_and_leave },
];

fn board() -> Switchboard {
    let mut board = Switchboard::new(SEED);
    for session in 0..SESSIONS {
        let room = format!("r{}", session % ROOMS);
        let id = format!("socket-{session}");
        board
            .attach(SessionKey(session), ServerKey(0), NamespaceKey::DEFAULT, &id, [room.as_str()])
            .expect("the ids are all different");
    }
    board
}

fn select(times: u32, rooms: &[&str], except: &[&str]) -> u64 {
    let mut board = board();
    let mut seen = 0;
    for _ in 0..times {
        let selection = black_box(Selection { rooms, except, server: None });
        board
            .select(NamespaceKey::DEFAULT, &selection, &mut |session| seen += u64::from(session.0));
    }
    seen
}

fn join_and_leave(times: u32) -> u64 {
    let mut board = board();
    let mut seen = 0;
    for time in 0..times {
        let session = SessionKey(time % SESSIONS);
        seen += u64::from(board.join(session, NamespaceKey::DEFAULT, black_box("lobby")));
        seen += u64::from(board.leave(session, NamespaceKey::DEFAULT, black_box("lobby")));
    }
    seen
}
