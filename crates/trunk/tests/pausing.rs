//! Room changes of other app servers go before a broadcast: the machine stops in the middle of a
//! batch and waits.

mod owner;
mod pair;

use std::time::Duration;

use bytes::Bytes;
use owner::{NOW, batch, config, join, send, steps, told, up, words};
use pair::{accept, broadcast, close, persist, recorded, restore};
use trunkline_trunk::{
    CloseReason, ErrorCode, Frame, NamespaceNumber, NodeTrunk, Reattach, SessionNumber, Step, Str,
};

fn cast() -> Frame {
    Frame::Broadcast(broadcast(Bytes::from_static(b"x")))
}

fn looking() -> NodeTrunk {
    let mut trunk = up(config(1));
    trunk.look_before_broadcast();
    trunk
}

#[test]
fn nothing_behind_the_first_broadcast_means_anything_before_the_owner_has_looked() {
    for frame in [cast(), recorded(Bytes::from_static(b"x"))] {
        let mut trunk = looking();
        trunk.handle_batch(NOW, batch(&[join(0), frame.clone(), send(0, "x".into())]));
        assert_eq!(words(&steps(&mut trunk)), ["broadcast ahead"]);
        assert!(told(&mut trunk, &[join(0)]).is_empty(), "a later batch waits, too");
        trunk.go_on();
        let both = format!("Join {} Send", frame.kind());
        assert_eq!(words(&steps(&mut trunk)), [both.as_str(), "Join"]);
    }
}

#[test]
fn what_stands_before_the_broadcast_can_be_dealt_out_meanwhile() {
    let mut trunk = looking();
    trunk.handle_batch(NOW, batch(&[join(0), send(0, "x".into()), cast(), join(0)]));
    assert_eq!(words(&steps(&mut trunk)), ["broadcast ahead"]);
    trunk.deal_out();
    let dealt = steps(&mut trunk);
    assert_eq!(words(&dealt), ["Join Send"]);
    let Step::Shares(shares) = &dealt[0] else { panic!("{dealt:?}") };
    assert_eq!(shares.cost_bytes, u64::from(send(0, "x".into()).data_cost().unwrap()));
    trunk.deal_out();
    assert!(steps(&mut trunk).is_empty(), "there is nothing more");
    trunk.go_on();
    assert_eq!(words(&steps(&mut trunk)), ["Broadcast Join"]);
}

#[test]
fn the_owner_looks_once_for_all_that_was_read() {
    let mut trunk = looking();
    trunk.handle_batch(NOW, batch(&[cast(), cast()]));
    trunk.handle_batch(NOW, batch(&[cast()]));
    assert_eq!(words(&steps(&mut trunk)), ["broadcast ahead"]);
    trunk.go_on();
    assert_eq!(words(&steps(&mut trunk)), ["Broadcast Broadcast", "Broadcast"]);
}

#[test]
fn a_read_without_a_broadcast_does_not_make_a_later_one_wait() {
    let mut trunk = looking();
    assert_eq!(words(&told(&mut trunk, &[join(0)])), ["Join"]);
    assert_eq!(words(&told(&mut trunk, &[cast()])), ["Broadcast"]);
}

#[test]
fn each_frame_that_changes_rooms_is_seen_ahead_and_no_other() {
    let (session, nsp) = (SessionNumber(0), NamespaceNumber(0));
    let (socket, rooms) = (Str::from_static("socket"), Vec::new());
    let reattach = Reattach {
        session,
        nsp,
        socket: socket.clone(),
        rooms: rooms.clone(),
        pid: "pid".into(),
        log: Str::EMPTY,
        last: Str::EMPTY,
        cut: Vec::new(),
    };
    let change = [
        Frame::Attach { session, nsp, socket: socket.clone(), rooms: rooms.clone() },
        Frame::Beside { session, nsp, socket: socket.clone(), rooms: rooms.clone() },
        Frame::Choose { session, nsp, socket },
        close(session, CloseReason::AppClosed),
        Frame::Detach { session, nsp },
        Frame::Join { session, nsp, rooms: rooms.clone() },
        Frame::Leave { session, nsp, rooms },
        Frame::Reattach(Box::new(reattach)),
    ];
    let no_change = [accept(session), persist(session, "socket"), send(0, "x".into()), restore(1)];
    let looked = |frame: &Frame| {
        let mut trunk = looking();
        assert_eq!(words(&told(&mut trunk, &[cast(), frame.clone()])), ["broadcast ahead"]);
        trunk.changes_rooms_ahead()
    };
    for frame in &change {
        assert!(looked(frame), "{frame:?}");
    }
    for frame in &no_change {
        assert!(!looked(frame), "{frame:?}");
    }
}

#[test]
fn changes_of_rooms_are_seen_ahead_in_all_that_was_read() {
    let change = [join(0), close(SessionNumber(0), CloseReason::AppClosed)];
    for changes in &change {
        for (first, second, ahead) in [
            (vec![changes.clone(), cast()], vec![], false),
            (vec![cast(), send(0, "x".into())], vec![cast()], false),
            (vec![cast(), changes.clone()], vec![], true),
            (vec![cast()], vec![send(0, "x".into()), changes.clone()], true),
        ] {
            let mut trunk = looking();
            trunk.handle_batch(NOW, batch(&first));
            trunk.handle_batch(NOW, batch(&second));
            assert_eq!(words(&steps(&mut trunk)), ["broadcast ahead"]);
            assert_eq!(trunk.changes_rooms_ahead(), ahead, "{first:?} {second:?}");
        }
    }
}

#[test]
fn a_trunk_that_ends_meanwhile_waits_no_longer_and_its_broadcast_does_not_count() {
    let mut trunk = looking();
    trunk.handle_batch(NOW, batch(&[join(0), cast(), join(0)]));
    assert_eq!(words(&steps(&mut trunk)), ["broadcast ahead"]);
    trunk.give_up(ErrorCode::Replaced, "another trunk".into());
    assert_eq!(words(&steps(&mut trunk)), ["Join", "given up"]);
    trunk.go_on();
    assert!(steps(&mut trunk).is_empty());
}

#[test]
fn silence_is_counted_while_the_machine_waits() {
    let mut trunk = looking();
    trunk.handle_batch(NOW + Duration::from_secs(4), batch(&[cast()]));
    assert_eq!(words(&steps(&mut trunk)), ["broadcast ahead"]);
    assert_eq!(trunk.poll_deadline(), Some(NOW + Duration::from_secs(14)), "it came at second 4");
    trunk.handle_timeout(NOW + Duration::from_secs(14));
    assert!(matches!(trunk.poll_transmit(), Some(Frame::Ping { .. })));
}
