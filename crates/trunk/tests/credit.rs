//! Flow control by credit, both ways.

mod pair;

use bytes::Bytes;
use pair::{Pair, accept, close, message, recorded, restore, send};
use trunkline_trunk::{
    CannotNow, CloseReason, CreditReceiver, CreditSender, EndCause, EndEvent, ErrorCode, Frame,
    FrameKind, LinkConfig, LinkEvent, Misbehaved, NamespaceNumber, SessionNumber, SharedCredit,
};

fn window(bytes: u32) -> LinkConfig {
    LinkConfig { credit_window_bytes: bytes, ..LinkConfig::default() }
}

fn payload(bytes: usize) -> Bytes {
    Bytes::from(vec![b'x'; bytes])
}

#[test]
fn the_last_frame_may_overdraw_and_the_next_must_wait() {
    let mut sender = CreditSender::new(10);
    sender.spend(9);
    assert!(sender.may_send(), "one byte is above zero");
    sender.spend(100);
    assert_eq!((sender.may_send(), sender.available_bytes()), (false, -99));
    assert!(!sender.grant(99), "zero is not above zero");
    assert!(sender.grant(1), "sending was stopped and may go on");
    assert!(!sender.grant(1), "it was not stopped any more");
}

#[test]
fn credit_that_several_spend_is_told_of_when_it_is_there_again() {
    let credit = SharedCredit::new(10);
    assert!(credit.spend(9) && credit.spend(100), "the last one may overdraw");
    assert!(!credit.may_send() && !credit.spend(1));
    assert_eq!(credit.available_bytes(), -99, "what was refused cost nothing");
    assert!(!credit.grant(99), "zero is not above zero");
    assert!(credit.grant(1), "sending was stopped and may go on");
    assert!(!credit.grant(1), "it was not stopped any more");
}

#[test]
fn credit_goes_back_at_half_a_window_and_in_full() {
    let mut receiver = CreditReceiver::new(100);
    receiver.received(80).unwrap();
    assert_eq!(receiver.processed(49), None);
    assert_eq!(receiver.processed(1), Some(50));
    assert_eq!(receiver.unprocessed_bytes(), 30);
    assert_eq!(receiver.processed(1_000), None, "more than arrived is not handed out");
    assert_eq!(receiver.available_bytes(), 70, "30 are due");
}

#[test]
fn a_frame_beyond_the_credit_is_a_violation() {
    let mut receiver = CreditReceiver::new(10);
    receiver.received(10).unwrap();
    let violation = receiver.received(1).unwrap_err();
    assert_eq!((violation.cost_bytes, violation.overdrawn_bytes), (1, 0));
    let mut closed = CreditReceiver::new(0);
    assert!(closed.received(0).is_err(), "an empty frame is data, too");
}

#[test]
fn the_least_window_still_lets_everything_through() {
    let mut sender = CreditSender::new(1);
    let mut receiver = CreditReceiver::new(1);
    for cost in [1, 1_000, 2, 7] {
        assert!(sender.may_send(), "stuck before {cost}");
        sender.spend(cost);
        receiver.received(cost).unwrap();
        sender.grant(receiver.processed(cost.into()).unwrap());
    }
}

#[test]
fn a_node_out_of_credit_stops_and_is_told_to_go_on() {
    let (mut pair, session) = Pair::with_session(LinkConfig::default(), window(100));
    pair.node.send(message(session, payload(150))).unwrap();
    assert_eq!(pair.node.send(message(session, payload(1))), Err(CannotNow::NoCredit));
    pair.node.send(close(session, CloseReason::ClientClosed)).expect("all other frames are free");
    pair.run().unwrap();
    assert!(!pair.node.may_send_data(), "what is read is not what is processed");
    pair.app.link().processed(152);
    pair.run().unwrap();
    assert_eq!(pair.node_events, [EndEvent::Link(LinkEvent::CreditReturned)]);
    assert!(pair.node.may_send_data());
    pair.node_events.clear();
    let session = pair.open("second");
    pair.run().unwrap();
    pair.app.send(accept(session)).unwrap();
    pair.run().unwrap();
    pair.node.send(message(session, payload(60))).unwrap();
    pair.run().unwrap();
    pair.node_events.clear();
    pair.app.link().processed(62);
    pair.run().unwrap();
    assert!(pair.node_events.is_empty(), "it was never stopped: {:?}", pair.node_events);
}

#[test]
fn an_app_server_out_of_credit_holds_its_frames_in_order() {
    let (mut pair, session) = Pair::with_session(window(100), LinkConfig::default());
    for text in ["first", "second"] {
        pair.app.send(send(session, payload(150))).unwrap();
        pair.app.send(send(session, text.into())).unwrap();
    }
    pair.run().unwrap();
    assert_eq!(pair.app.held_bytes(), 7 + 152 + 8);
    for _ in 0..2 {
        pair.node.trunk.processed(152 + 7);
        pair.run().unwrap();
    }
    assert_eq!(pair.app.held_bytes(), 0);
    let texts: Vec<_> = pair.node_events.iter().map(payload_length).collect();
    assert_eq!(texts, [150, 5, 150, 6]);
}

fn payload_length(event: &EndEvent) -> usize {
    let EndEvent::Frame(Frame::Send { payload, .. }) = event else { panic!("{event:?}") };
    payload.len()
}

#[test]
fn frames_that_are_ignored_give_their_credit_back() {
    let (mut pair, session) = Pair::with_session(window(100), LinkConfig::default());
    pair.app.send(send(session, payload(150))).unwrap();
    pair.drain();
    pair.node.send(close(session, CloseReason::ClientClosed)).unwrap();
    pair.run().unwrap();
    assert!(pair.node_events.is_empty());
    assert_eq!(pair.app.link().sending().available_bytes(), 100);
}

#[test]
fn a_peer_that_sends_beyond_its_credit_gets_error_4() {
    let (mut pair, session) = Pair::with_session(window(4), LinkConfig::default());
    pair.node.handle_frame(pair.now, send(session, payload(2))).unwrap();
    let error = pair.node.handle_frame(pair.now, send(session, payload(2))).unwrap_err();
    assert!(matches!(error, Misbehaved::Credit(_)));
    assert_eq!(error.code(), ErrorCode::Credit);
    pair.run().unwrap();
    let ended = EndEvent::Link(LinkEvent::Ended(EndCause::Misbehaved(error)));
    assert_eq!(pair.node_events.back(), Some(&ended));
    let Some(EndEvent::Link(LinkEvent::Ended(EndCause::PeerError { code, .. }))) =
        pair.app_events.back()
    else {
        panic!("{:?}", pair.app_events)
    };
    assert_eq!(*code, ErrorCode::Credit);
}

#[test]
fn what_a_data_frame_costs_is_the_length_of_its_body() {
    let frame = send(SessionNumber(300), payload(5));
    assert_eq!(frame.data_cost(), Some(2 + 1 + 5));
    assert_eq!(trunkline_trunk::encode::message_cost(SessionNumber(300), 5), 8);
    assert_eq!(close(SessionNumber(300), CloseReason::AppClosed).data_cost(), None);
}

#[test]
fn only_these_frames_cost_credit() {
    let data: Vec<_> = FrameKind::ALL.iter().filter(|kind| kind.is_data()).collect();
    let expected = [
        FrameKind::Message,
        FrameKind::Send,
        FrameKind::Broadcast,
        FrameKind::Recorded,
        FrameKind::Relay,
        FrameKind::Persist,
        FrameKind::State,
    ];
    assert_eq!(data, expected.iter().collect::<Vec<_>>());
}

#[test]
fn what_an_app_server_relays_waits_in_order_for_credit_and_what_it_asks_does_not_overtake() {
    let mut pair = Pair::up(window(1), LinkConfig::default());
    pair.app.send(Frame::Namespace { nsp: NamespaceNumber(0), name: "/".into() }).unwrap();
    pair.app.send(recorded(payload(9))).unwrap();
    pair.app.send(Frame::Relay { to: Vec::new(), payload: payload(9) }).unwrap();
    pair.app.send(restore(1)).unwrap();
    pair.run().unwrap();
    assert_eq!(pair.node_events.len(), 2, "the relay waits, and the restore behind it");
    assert_eq!(pair.app.held_bytes(), 10);
    let cost_bytes = recorded(payload(9)).data_cost().unwrap();
    pair.node.trunk.processed(cost_bytes.into());
    pair.run().unwrap();
    assert_eq!(pair.node_events.len(), 4);
}
