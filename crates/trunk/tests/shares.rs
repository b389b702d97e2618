//! Which shard gets which frame of a batch, and which steps follow the shares.

mod owner;
mod pair;

use bytes::Bytes;
use owner::{batch, config, greeted, hello, join, send, steps, told, up, words};
use pair::{accept, broadcast, persist, recorded, restore};
use trunkline_trunk::{
    Found, Frame, FrameKind, Hello, Misbehaved, NamespaceNumber, Numbers, RequestId, SessionNumber,
    Shares, StandingFlags, State, Step, shard_of,
};

fn shares(steps: Vec<Step>) -> Shares {
    let mut steps = steps.into_iter();
    let (Some(Step::Shares(shares)), None) = (steps.next(), steps.next()) else {
        panic!("not one step of shares")
    };
    shares
}

fn payload(bytes: usize) -> Bytes {
    Bytes::from(vec![b'x'; bytes])
}

#[test]
fn a_frame_of_a_session_is_for_its_shard_and_one_of_none_is_for_all() {
    let mut trunk = up(config(3));
    let give = Frame::Namespace { nsp: NamespaceNumber(1), name: "/chat".into() };
    let frames = [join(0), join(4), give, join(3), Frame::Broadcast(broadcast(payload(1)))];
    assert_eq!(
        words(&told(&mut trunk, &frames)),
        ["Join Namespace Join Broadcast | Join Namespace Broadcast | Namespace Broadcast"]
    );
    let others = [Frame::Release { nsp: NamespaceNumber(1) }, Frame::Number { next: 7 }];
    let dealt = shares(told(&mut trunk, &others));
    assert!(dealt.by_shard.iter().all(|share| *share == others));
    assert_eq!(dealt.broadcasts, 0);
}

#[test]
fn the_state_of_a_session_is_for_its_shard_and_counters_of_batches_are_for_none() {
    let mut trunk = up(config(2));
    let session = SessionNumber(1);
    let state = Frame::State(Box::new(State {
        session,
        nsp: NamespaceNumber(0),
        socket: "s".into(),
        pid: "p".into(),
        state: payload(9),
    }));
    let standing = Frame::Standing { session, flags: StandingFlags::default() };
    assert_eq!(words(&told(&mut trunk, &[standing, state.clone()])), [" | Standing State"]);
    let cost_bytes = u64::from(state.data_cost().unwrap());
    assert_eq!(trunk.receiving().unprocessed_bytes(), cost_bytes);

    let Frame::State(mut unnamed) = state else { unreachable!() };
    unnamed.nsp = NamespaceNumber(3);
    let told = told(&mut trunk, &[Frame::State(unnamed)]);
    assert_eq!(words(&told), ["ended: namespace 3 is not given"]);
}

#[test]
fn a_shard_has_the_numbers_of_its_lane() {
    let mut lanes: Vec<_> = (0..3).map(|lane| Numbers::lane(lane, 3)).collect();
    for _ in 0..10 {
        for (shard, lane) in lanes.iter_mut().enumerate() {
            assert_eq!(shard_of(SessionNumber(lane.take().unwrap()), 3), shard);
        }
    }
}

#[test]
fn what_may_be_about_the_rest_of_the_batch_follows_it_in_order() {
    let mut trunk = up(config(1));
    let relay = |bytes| Frame::Relay { to: Vec::new(), payload: payload(bytes) };
    let back = Frame::GiveBack { nsp: NamespaceNumber(0), pid: "old".into() };
    let (name, arguments) = ("greet".into(), "{}".into());
    let call = Frame::Call { request_id: RequestId(0), name, arguments };
    let frames = [relay(1), restore(1), back, call, relay(2), join(0)];
    assert_eq!(
        words(&told(&mut trunk, &frames)),
        ["Join", "relay of 1", "restore pid in /", "give back old", "call greet", "relay of 2"]
    );
}

#[test]
fn each_batch_is_dealt_out_before_the_next() {
    let mut trunk = up(config(1));
    trunk.handle_batch(owner::NOW, batch(&[restore(1)]));
    trunk.handle_batch(owner::NOW, batch(&[join(0)]));
    assert_eq!(words(&steps(&mut trunk)), ["restore pid in /", "Join"]);
}

#[test]
fn who_keeps_a_socket_is_told_with_the_shares() {
    let mut trunk = up(config(4));
    let dealt = shares(told(&mut trunk, &[persist(SessionNumber(6), "socket"), join(1)]));
    let persisted: Vec<_> =
        dealt.persisted.iter().map(|(pid, shard)| (pid.as_str(), *shard)).collect();
    assert_eq!(persisted, [("pid", 2)]);
    let dealt = shares(told(&mut trunk, &[join(1)]));
    assert!(dealt.persisted.is_empty());
}

#[test]
fn shares_cost_what_their_frames_cost_and_broadcasts_are_counted_once() {
    let mut trunk = up(config(2));
    let frames =
        [send(0, payload(10)), Frame::Broadcast(broadcast(payload(20))), recorded(payload(30))];
    let cost_bytes: u32 = frames.iter().filter_map(Frame::data_cost).sum();
    let dealt = shares(told(&mut trunk, &frames));
    let cost_bytes = u64::from(cost_bytes);
    assert_eq!((dealt.cost_bytes, dealt.broadcasts), (cost_bytes, 2));
    assert_eq!(trunk.receiving().unprocessed_bytes(), cost_bytes);
    trunk.processed(dealt.cost_bytes);
    assert_eq!(trunk.receiving().unprocessed_bytes(), 0);
    let dealt = shares(told(&mut trunk, &[join(0)]));
    assert_eq!((dealt.cost_bytes, dealt.broadcasts), (0, 0), "nothing is counted twice");
}

#[test]
fn what_no_shard_has_a_share_of_is_dealt_with_at_once() {
    let mut trunk = up(config(2));
    let relay = Frame::Relay { to: Vec::new(), payload: payload(100) };
    assert_eq!(words(&told(&mut trunk, &[relay])), ["relay of 100"]);
    assert_eq!(trunk.receiving().unprocessed_bytes(), 0);
}

#[test]
fn a_small_payload_does_not_keep_its_batch_and_a_large_one_is_not_copied() {
    let mut trunk = up(config(1));
    let frames = [
        send(0, payload(10)),
        Frame::Broadcast(broadcast(payload(10))),
        recorded(payload(10)),
        send(0, payload(4000)),
    ];
    let whole = batch(&frames);
    let inside = whole.as_ptr_range();
    trunk.handle_batch(owner::NOW, whole.clone());
    let dealt = shares(steps(&mut trunk));
    assert_eq!(dealt.by_shard[0], frames);
    let is_slice = |frame: &Frame| {
        let payload = if let Frame::Send { payload, .. } = frame {
            payload
        } else if let Frame::Broadcast(broadcast) | Frame::Recorded { broadcast, .. } = frame {
            &broadcast.parts[0].data
        } else {
            panic!("{frame:?}")
        };
        inside.contains(&payload.as_ptr())
    };
    let slices: Vec<_> = dealt.by_shard[0].iter().map(is_slice).collect();
    assert_eq!(slices, [false, false, false, true]);
}

#[test]
fn what_came_before_a_fault_counts_and_nothing_behind_it() {
    let mut trunk = up(config(1));
    let unknown =
        Frame::Join { session: SessionNumber(0), nsp: NamespaceNumber(5), rooms: Vec::new() };
    trunk.handle_batch(owner::NOW, batch(&[join(0), restore(1), unknown, send(0, payload(1))]));
    trunk.handle_batch(owner::NOW, batch(&[join(0)]));
    let rule = Misbehaved::NamespaceUnknown(NamespaceNumber(5));
    let ended = format!("ended: {rule}");
    assert_eq!(words(&steps(&mut trunk)), ["Join", "restore pid in /", ended.as_str()]);
    assert!(told(&mut trunk, &[join(0)]).is_empty());
}

#[test]
fn bytes_that_are_no_frame_end_the_trunk_behind_what_came_before() {
    let mut trunk = up(config(1));
    let mut bytes = batch(&[join(0)]).to_vec();
    bytes.extend_from_slice(&[0x06, 0x02, 0x80, 0x00]);
    trunk.handle_batch(owner::NOW, bytes.into());
    let told = words(&steps(&mut trunk));
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0], "Join");
    assert!(told[1].starts_with("ended: Credit: "), "{told:?}");
}

#[test]
fn an_owner_that_finds_fault_in_the_midst_of_a_batch_ends_it_there() {
    let mut trunk = up(config(1));
    trunk.look_before_broadcast();
    let shout = Frame::Broadcast(broadcast(payload(1)));
    trunk.handle_batch(owner::NOW, batch(&[join(0), shout, send(0, payload(1))]));
    assert!(matches!(trunk.poll_step(), Some(Step::BroadcastAhead)));
    trunk.misbehaved(Misbehaved::NumberNotInUse(FrameKind::Send));
    let told = words(&steps(&mut trunk));
    assert_eq!(told, ["Join", "ended: Send for a number that is not in use"]);
}

#[test]
fn the_number_of_a_prove_is_in_use_until_it_is_answered() {
    let mut trunk = up(config(1));
    let prove =
        Frame::Prove { session: SessionNumber(0), request_id: RequestId(4), cut: Vec::new() };
    let frames = [accept(SessionNumber(0)), prove.clone()];
    assert_eq!(words(&told(&mut trunk, &frames)), ["Accept Prove"]);
    assert!(trunk.proved(RequestId(4)));
    assert!(!trunk.proved(RequestId(4)), "it is answered");
    assert_eq!(words(&told(&mut trunk, std::slice::from_ref(&prove))), ["Prove"]);
    assert_eq!(words(&told(&mut trunk, &[prove])), ["ended: Prove with a number that is in use"]);
}

#[test]
fn the_number_of_a_restore_is_in_use_until_it_is_answered() {
    let mut trunk = up(config(1));
    assert_eq!(words(&told(&mut trunk, &[restore(1), restore(2)])).len(), 2);
    assert!(trunk.restored(RequestId(1)));
    assert_eq!(words(&told(&mut trunk, &[restore(1)])).len(), 1);
    let ended = "ended: Restore with a number that is in use";
    assert_eq!(words(&told(&mut trunk, &[restore(2)])), [ended]);
}

#[test]
fn what_nobody_keeps_is_answered_as_the_app_server_can_read_it() {
    for numbers in [true, false] {
        let settings = format!(r#"{{"numbers":{numbers}}}"#);
        let (mut trunk, _) = greeted(config(1), Hello { settings: settings.into(), ..hello() });
        trunk.welcome(owner::NOW, owner::INFO);
        let name = Frame::Namespace { nsp: NamespaceNumber(0), name: "/".into() };
        assert_eq!(words(&told(&mut trunk, &[name, restore(6)])).len(), 2);
        assert!(matches!(trunk.poll_transmit(), Some(Frame::Welcome(_))));
        trunk.not_restored(RequestId(6));
        let (told, request_id) = match trunk.poll_transmit() {
            Some(Frame::RestoredAt(answer)) => {
                (answer.found == Found::No && numbers, answer.request_id)
            }
            Some(Frame::Restored(answer)) => (!answer.found && !numbers, answer.request_id),
            other => panic!("{other:?}"),
        };
        assert!(told && request_id == RequestId(6), "numbers: {numbers}");
        trunk.not_restored(RequestId(6));
        assert_eq!(trunk.poll_transmit(), None, "one answer");
        assert!(!trunk.restored(RequestId(6)), "its number is free");
    }
}
