//! A late frame never meets a new session: the life of a session's number.

mod pair;

use bytes::Bytes;
use pair::{
    Pair, accept, client_request, close, message, not_restored, persist, recorded, response,
    restore, send,
};
use trunkline_trunk::{
    Action, AppNumberState as App, CannotNow, CloseReason, EndEvent, Frame, FrameKind, LinkConfig,
    Misbehaved, NamespaceNumber, NumberState as Node, Numbers, RequestCode, RequestId,
    SessionNumber, StandingFlags,
};

use trunkline_trunk::FrameKind::{
    Accept, Adopt, Attach, Beside, Choose, Close, Detach, Join, Leave, Mark, Marked, Message, Open,
    Persist, Prove, Reattach, Reject, Request, Response, Restore, Restored, Send, Standing, State,
    Upgraded,
};

type Outcome = Result<Action, Misbehaved>;

/// Tries every frame that an app server may send in every state of the node.
#[test]
fn the_node_judges_every_frame_in_every_state() {
    use Action::{Accepted, Closed, Deliver, Freed, HandedBack, Ignore, Rejected};
    use Misbehaved::{AfterClose, AnsweredTwice, BeforeAccept, NumberNotInUse};
    type Error = fn(FrameKind) -> Misbehaved;
    let error = |make: Error, kind| -> (Outcome, Option<Node>) { (Err(make(kind)), None) };
    let to = |action, next| -> (Outcome, Option<Node>) { (Ok(action), Some(next)) };
    for state in [
        Node::Free,
        Node::Opening,
        Node::Open,
        Node::ClosedByUs,
        Node::ClosedUnanswered,
        Node::ClosedByPeer,
        Node::Adopting,
        Node::ClosedAdopting,
        Node::Leaving,
    ] {
        for kind in [
            Accept, Reject, Send, Attach, Beside, Choose, Detach, Join, Leave, Persist, Prove,
            Reattach, Standing, State, Close,
        ] {
            let (outcome, next) = match (state, kind) {
                (
                    Node::Open | Node::Adopting | Node::Leaving,
                    Choose | Detach | Join | Leave | Send | Attach | Beside | Persist | Prove
                    | Reattach | Standing | State,
                ) => to(Deliver, state),
                (Node::ClosedByUs | Node::ClosedAdopting, Persist) => to(Deliver, state),
                (
                    Node::ClosedByUs | Node::ClosedAdopting,
                    Choose | Detach | Join | Leave | Send | Attach | Beside | Prove | Reattach
                    | Standing | State,
                ) => to(Ignore, state),
                (_, Choose | Detach | Join | Leave) => to(Ignore, state),
                (Node::Free, _) => error(NumberNotInUse, kind),
                (Node::ClosedByPeer, _) => error(AfterClose, kind),
                (Node::Opening | Node::Adopting, Accept) => to(Accepted, Node::Open),
                (Node::Opening, Reject) => to(Rejected, Node::Free),
                (Node::Opening | Node::Open | Node::Adopting, Close) => {
                    to(Closed, Node::ClosedByPeer)
                }
                (Node::Leaving, Close) => to(HandedBack, Node::Free),
                (Node::ClosedUnanswered | Node::ClosedAdopting, Accept) => {
                    to(Ignore, Node::ClosedByUs)
                }
                (Node::ClosedUnanswered, Reject | Close) => to(Freed, Node::Free),
                (Node::ClosedByUs | Node::ClosedAdopting, Close) => to(Freed, Node::Free),
                (Node::Opening | Node::ClosedUnanswered, _) => error(BeforeAccept, kind),
                (
                    Node::Open
                    | Node::ClosedByUs
                    | Node::Adopting
                    | Node::ClosedAdopting
                    | Node::Leaving,
                    _,
                ) => error(AnsweredTwice, kind),
            };
            let mut after = state;
            assert_eq!(after.handle(kind), outcome, "{state:?} {kind}");
            assert_eq!(after, next.unwrap_or(state), "{state:?} {kind}");
        }
    }
}

/// Tries every frame that a node may send in every state of the app server.
#[test]
fn the_app_server_judges_every_frame_in_every_state() {
    for state in [
        App::Free,
        App::Opening,
        App::Open,
        App::ClosedByUs,
        App::ClosedUnanswered,
        App::ClosedByPeer,
        App::Adopting,
        App::Leaving,
    ] {
        for kind in [Open, Adopt, Message, Upgraded, Marked, Close] {
            let (outcome, next) = match (state, kind) {
                (App::Free, Open) => (Ok(Action::Opened), App::Opening),
                (App::Free, Adopt) => (Ok(Action::Opened), App::Adopting),
                (_, Open | Adopt) => (Err(Misbehaved::NumberInUse(kind)), state),
                (App::Free, Close) => (Ok(Action::Ignore), state),
                (App::Opening, Close) => (Ok(Action::Closed), App::ClosedUnanswered),
                (App::Open | App::Adopting | App::Leaving, Close) => {
                    (Ok(Action::Closed), App::ClosedByPeer)
                }
                (App::ClosedByUs, Close) => (Ok(Action::Freed), App::Free),
                (App::Free, _) => (Err(Misbehaved::NumberNotInUse(kind)), state),
                (App::Opening | App::Adopting, _) => (Err(Misbehaved::BeforeAccept(kind)), state),
                (App::Open, _) => (Ok(Action::Deliver), state),
                (App::ClosedByUs, _) => (Ok(Action::Ignore), state),
                (App::ClosedByPeer | App::ClosedUnanswered | App::Leaving, _) => {
                    (Err(Misbehaved::AfterClose(kind)), state)
                }
            };
            let mut after = state;
            assert_eq!(after.handle(kind), outcome, "{state:?} {kind}");
            assert_eq!(after, next, "{state:?} {kind}");
        }
    }
}

/// An app server may send `Persist` until its own `Close`, whichever end closed first.
#[test]
fn the_app_server_persists_until_it_has_closed_itself() {
    let table = [
        (App::Free, None),
        (App::Opening, None),
        (App::Open, Some(App::Open)),
        (App::ClosedByPeer, Some(App::ClosedByPeer)),
        (App::ClosedUnanswered, None),
        (App::ClosedByUs, None),
        (App::Adopting, Some(App::Adopting)),
        (App::Leaving, Some(App::Leaving)),
    ];
    for (state, next) in table {
        let mut after = state;
        assert_eq!(after.send(Persist).is_ok(), next.is_some(), "{state:?}");
        assert_eq!(after, next.unwrap_or(state), "{state:?}");
    }
    for closed in [App::ClosedByPeer, App::ClosedUnanswered, App::Leaving] {
        let mut after = closed;
        after.send(Close).unwrap();
        assert_eq!(after, App::Free, "{closed:?}");
    }
}

#[test]
fn a_frame_of_the_other_direction_is_misbehaviour_in_every_state() {
    for kind in [Open, Adopt, Message, Upgraded, Marked] {
        assert_eq!(Node::Open.clone().handle(kind), Err(Misbehaved::WrongDirection(kind)));
    }
    for kind in [
        Accept, Reject, Send, Mark, Attach, Beside, Choose, Detach, Join, Leave, Persist, Prove,
        Reattach, Standing, State,
    ] {
        assert_eq!(App::Open.clone().handle(kind), Err(Misbehaved::WrongDirection(kind)));
    }
}

/// The node sends nothing but `Close` for a session that is not with an app server that accepted it.
#[test]
fn a_session_that_is_adopted_or_leaves_gets_nothing_but_its_end() {
    let mut number = Node::Free;
    number.send(Adopt).unwrap();
    for kind in [Message, Upgraded, Marked, Open, Adopt] {
        assert_eq!(number.send(kind), Err(CannotNow::State(kind)));
        assert_eq!(Node::Leaving.clone().send(kind), Err(CannotNow::State(kind)));
    }
    assert_eq!(Node::Leaving.clone().send(Close), Err(CannotNow::State(Close)), "it is sent");
    assert_eq!(number.clone().send_hand_over(), Err(CannotNow::State(Close)));
    number.send(Close).unwrap();
    assert_eq!(number, Node::ClosedAdopting);
    assert_eq!(number.handle(Accept), Ok(Action::Ignore));
    assert_eq!(number.handle(Close), Ok(Action::Freed));
}

#[test]
fn a_client_that_goes_while_its_session_leaves_frees_the_number_with_the_app_servers_close() {
    let mut number = Node::Open;
    assert!(!number.end_leaving());
    number.send_hand_over().unwrap();
    assert!(number.end_leaving());
    assert_eq!(number.handle(State), Ok(Action::Ignore));
    assert_eq!(number.handle(Close), Ok(Action::Freed));
    assert_eq!(number, Node::Free);
}

#[test]
fn a_session_is_handed_back_with_all_that_its_app_server_still_says() {
    let (mut pair, session) = Pair::with_session(LinkConfig::default(), LinkConfig::default());
    let flags = StandingFlags { leaves: true, ..StandingFlags::default() };
    pair.app.send(Frame::Standing { session, flags }).unwrap();
    pair.run().unwrap();
    assert_eq!(frames_of(&mut pair.node_events), [Standing]);
    pair.node.send(close(session, CloseReason::HandedOver)).unwrap();
    pair.run().unwrap();
    assert_eq!(frames_of(&mut pair.app_events), [Close]);
    assert_eq!((pair.node.state(session), pair.app.state(session)), (Node::Leaving, App::Leaving));
    pair.app.send(send(session, Bytes::from_static(b"last"))).unwrap();
    pair.app.send(close(session, CloseReason::HandedOver)).unwrap();
    pair.run().unwrap();
    assert_eq!(frames_of(&mut pair.node_events), [Send, Close]);
    assert_eq!((pair.node.session_count(), pair.app.session_count()), (0, 0));
}

#[test]
fn a_hand_over_that_crosses_the_end_of_the_session_is_the_answer_to_it() {
    let (mut pair, session) = Pair::with_session(LinkConfig::default(), LinkConfig::default());
    pair.app.send(close(session, CloseReason::AppClosed)).unwrap();
    pair.node.send(close(session, CloseReason::HandedOver)).unwrap();
    pair.run().unwrap();
    assert_eq!((pair.node.session_count(), pair.app.session_count()), (0, 0));
    assert_eq!(frames_of(&mut pair.node_events), [Close]);
    assert_eq!(frames_of(&mut pair.app_events), []);
}

#[test]
fn a_session_that_goes_to_another_node_is_over_here_with_its_app_servers_last_word() {
    let (mut pair, session) = Pair::with_session(LinkConfig::default(), LinkConfig::default());
    pair.node.send(close(session, CloseReason::Moved)).unwrap();
    pair.app.send(send(session, Bytes::from_static(b"crosses"))).unwrap();
    pair.run().unwrap();
    assert_eq!(frames_of(&mut pair.app_events), [Close]);
    assert_eq!((pair.node.state(session), pair.app.state(session)), (Node::Leaving, App::Leaving));
    pair.app.send(send(session, Bytes::from_static(b"last"))).unwrap();
    pair.app.send(close(session, CloseReason::Moved)).unwrap();
    pair.run().unwrap();
    assert_eq!(frames_of(&mut pair.node_events), [Send, Send, Close]);
    assert_eq!((pair.node.session_count(), pair.app.session_count()), (0, 0));
}

#[test]
fn a_state_takes_one_byte() {
    assert_eq!((size_of::<Node>(), size_of::<App>()), (1, 1));
}

fn frames_of(events: &mut std::collections::VecDeque<EndEvent>) -> Vec<FrameKind> {
    let frames = events.drain(..).filter_map(|event| match event {
        EndEvent::Frame(frame) => Some(frame.kind()),
        EndEvent::Link(_) => None,
    });
    frames.collect()
}

#[test]
fn a_number_is_kept_until_both_ends_have_closed_it() {
    let (mut pair, session) = Pair::with_session(LinkConfig::default(), LinkConfig::default());
    pair.app.send(send(session, Bytes::from_static(b"late"))).unwrap();
    pair.drain();
    pair.node.send(close(session, CloseReason::ClientClosed)).unwrap();
    let second = pair.open("second");
    assert_ne!(second, session, "the app server may still send for it");
    pair.run().unwrap();
    assert_eq!(frames_of(&mut pair.node_events), [], "the late Send is ignored");
    assert_eq!(frames_of(&mut pair.app_events), [Close, Open]);
    assert_eq!(pair.open("third"), session, "both have closed it");
}

#[test]
fn what_is_persisted_of_a_client_that_just_left_is_delivered_and_costs_credit() {
    let (mut pair, session) = Pair::with_session(LinkConfig::default(), LinkConfig::default());
    pair.app.send(Frame::Namespace { nsp: NamespaceNumber(0), name: "/".into() }).unwrap();
    pair.app.send(persist(session, "first")).unwrap();
    pair.app.send(send(session, Bytes::from_static(b"late"))).unwrap();
    pair.drain();
    pair.node.send(close(session, CloseReason::ClientClosed)).unwrap();
    pair.run().unwrap();
    assert_eq!(frames_of(&mut pair.node_events), [FrameKind::Namespace, Persist]);
    let cost_bytes = persist(session, "first").data_cost().unwrap();
    assert_eq!(pair.node.trunk.receiving().unprocessed_bytes(), u64::from(cost_bytes));
    assert!(pair.app.send(persist(session, "first")).is_err(), "it has answered the Close");
}

#[test]
fn a_frame_that_persists_an_unanswered_session_ends_the_trunk() {
    let mut pair = Pair::up(LinkConfig::default(), LinkConfig::default());
    let session = pair.open("first");
    let give = Frame::Namespace { nsp: NamespaceNumber(0), name: "/".into() };
    pair.node.handle_frame(pair.now, give).unwrap();
    let error = pair.node.handle_frame(pair.now, persist(session, "first")).unwrap_err();
    assert_eq!(error, Misbehaved::BeforeAccept(Persist));
}

#[test]
fn closes_that_cross_each_other_are_not_answered() {
    let (mut pair, session) = Pair::with_session(LinkConfig::default(), LinkConfig::default());
    pair.node.send(close(session, CloseReason::ClientClosed)).unwrap();
    pair.app.send(close(session, CloseReason::AppClosed)).unwrap();
    pair.drain();
    assert_eq!((pair.to_app.len(), pair.to_node.len()), (1, 1));
    pair.deliver_to_app().unwrap();
    pair.deliver_to_node().unwrap();
    assert!(pair.to_app.is_empty() && pair.to_node.is_empty());
    assert_eq!((pair.node.session_count(), pair.app.session_count()), (0, 0));
}

#[test]
fn a_close_that_crossed_a_reject_does_not_meet_the_numbers_next_session() {
    let mut pair = Pair::up(LinkConfig::default(), LinkConfig::default());
    let session = pair.open("first");
    pair.drain();
    pair.deliver_to_app().unwrap();
    pair.app.send(Frame::Reject { session, response: response() }).unwrap();
    pair.node.send(close(session, CloseReason::GoneBeforeAnswer)).unwrap();
    pair.drain();
    pair.deliver_to_node().unwrap();
    assert_eq!(frames_of(&mut pair.node_events), [], "the client is gone, nobody is to be told");
    assert_eq!(pair.open("second"), session);
    pair.run().unwrap();
    assert_eq!(frames_of(&mut pair.app_events), [Open, Open]);
    assert_eq!((pair.node.state(session), pair.app.state(session)), (Node::Opening, App::Opening));
}

#[test]
fn a_client_that_leaves_before_the_answer_is_closed_with_both_ends_in_step() {
    let mut pair = Pair::up(LinkConfig::default(), LinkConfig::default());
    let session = pair.open("first");
    pair.drain();
    pair.deliver_to_app().unwrap();
    pair.app.send(accept(session)).unwrap();
    pair.node.send(close(session, CloseReason::GoneBeforeAnswer)).unwrap();
    pair.run().unwrap();
    assert_eq!(frames_of(&mut pair.node_events), []);
    assert_eq!(frames_of(&mut pair.app_events), [Open, Close]);
    assert_eq!((pair.node.session_count(), pair.app.session_count()), (0, 0));
    assert!(pair.app.send(accept(session)).is_err(), "after its own Close it answers no more");
}

#[test]
fn a_frame_for_a_number_that_was_never_opened_ends_the_trunk() {
    let (mut pair, _) = Pair::with_session(LinkConfig::default(), LinkConfig::default());
    let stray = send(SessionNumber(77), Bytes::new());
    let error = pair.node.handle_frame(pair.now, stray).unwrap_err();
    assert_eq!(error, Misbehaved::NumberNotInUse(Send));
    let (mut pair, _) = Pair::with_session(LinkConfig::default(), LinkConfig::default());
    let error =
        pair.app.handle_frame(pair.now, message(SessionNumber(77), Bytes::new())).unwrap_err();
    assert_eq!(error, Misbehaved::NumberNotInUse(Message));
}

#[test]
fn a_number_of_a_restore_is_in_use_until_it_is_answered() {
    let mut pair = Pair::up(LinkConfig::default(), LinkConfig::default());
    pair.app.send(Frame::Namespace { nsp: NamespaceNumber(0), name: "/".into() }).unwrap();
    for _ in 0..2 {
        pair.app.send(restore(7)).unwrap();
        assert_eq!(pair.app.send(restore(7)), Err(CannotNow::State(Restore)));
        pair.run().unwrap();
        assert_eq!(pair.node.send(not_restored(RequestId(8))), Err(CannotNow::State(Restored)));
        pair.node.send(not_restored(RequestId(7))).unwrap();
        assert_eq!(
            pair.node.send(not_restored(RequestId(7))),
            Err(CannotNow::State(Restored)),
            "it is answered"
        );
        pair.run().unwrap();
    }
    assert_eq!(frames_of(&mut pair.app_events), [Restored, Restored]);

    let error = pair.app.handle_frame(pair.now, not_restored(RequestId(7))).unwrap_err();
    assert_eq!(error, Misbehaved::NumberNotInUse(Restored));
    pair.node.handle_frame(pair.now, restore(7)).unwrap();
    let error = pair.node.handle_frame(pair.now, restore(7)).unwrap_err();
    assert_eq!(error, Misbehaved::NumberInUse(Restore));
}

#[test]
fn numbers_of_requests_and_of_restores_are_spaces_of_their_own() {
    let mut pair = Pair::up(LinkConfig::default(), LinkConfig::default());
    let request = pair.node.request(RequestCode::Preflight, "".into(), client_request()).unwrap();
    pair.app.send(Frame::Namespace { nsp: NamespaceNumber(0), name: "/".into() }).unwrap();
    pair.app.send(restore(request.0)).unwrap();
    pair.run().unwrap();
    pair.app.send(Frame::Response { request_id: request, response: response() }).unwrap();
    pair.node.send(not_restored(request)).unwrap();
    pair.run().unwrap();
    assert_eq!(frames_of(&mut pair.node_events), [FrameKind::Namespace, Restore, Response]);
    assert_eq!(frames_of(&mut pair.app_events), [Request, Restored]);
}

#[test]
fn each_end_sends_only_its_own_frames_about_other_app_servers() {
    let mut pair = Pair::up(LinkConfig::default(), LinkConfig::default());
    let peers = Frame::Peers { servers: vec!["other".into()] };
    let relayed = Frame::Relayed { from: "other".into(), payload: Bytes::new() };
    let relay = Frame::Relay { to: vec!["other".into()], payload: Bytes::new() };
    for frame in [peers, relayed] {
        assert_eq!(pair.app.send(frame.clone()), Err(CannotNow::State(frame.kind())));
        assert_eq!(pair.node.send(frame), Ok(()));
    }
    assert_eq!(pair.node.send(relay.clone()), Err(CannotNow::State(FrameKind::Relay)));
    assert_eq!(pair.app.send(relay), Ok(()));
    pair.run().unwrap();
    assert_eq!(frames_of(&mut pair.app_events), [FrameKind::Peers, FrameKind::Relayed]);
    assert_eq!(frames_of(&mut pair.node_events), [FrameKind::Relay]);
}

#[test]
fn a_namespace_number_that_was_taken_back_is_given_anew() {
    let nsp = NamespaceNumber(0);
    let give = |name: &str| Frame::Namespace { nsp, name: name.into() };
    let (mut pair, session) = Pair::with_session(LinkConfig::default(), LinkConfig::default());
    // Give out more numbers than may be in use at once.
    for turn in 0..3 * pair::NAMESPACES_MAX {
        pair.node.handle_frame(pair.now, give(&format!("/{turn}"))).unwrap();
        pair.node.handle_frame(pair.now, Frame::Release { nsp }).unwrap();
    }
    let late = Frame::Join { session, nsp, rooms: Vec::new() };
    let error = pair.node.handle_frame(pair.now, late).unwrap_err();
    assert_eq!(error, Misbehaved::NamespaceUnknown(nsp));

    let (mut pair, _) = Pair::with_session(LinkConfig::default(), LinkConfig::default());
    let error = pair.node.handle_frame(pair.now, Frame::Release { nsp }).unwrap_err();
    assert_eq!(error, Misbehaved::NamespaceUnknown(nsp));
}

#[test]
fn namespaces_are_given_once_before_use_and_up_to_a_limit() {
    let give = |n| Frame::Namespace { nsp: NamespaceNumber(n), name: "/".into() };
    let (mut pair, session) = Pair::with_session(LinkConfig::default(), LinkConfig::default());
    pair.node.handle_frame(pair.now, give(0)).unwrap();
    let error = pair.node.handle_frame(pair.now, give(0)).unwrap_err();
    assert_eq!(error, Misbehaved::NamespaceGivenTwice(NamespaceNumber(0)));

    for early in [
        Frame::Attach { session, nsp: NamespaceNumber(0), socket: "s".into(), rooms: Vec::new() },
        Frame::Beside { session, nsp: NamespaceNumber(0), socket: "s".into(), rooms: Vec::new() },
        Frame::Choose { session, nsp: NamespaceNumber(0), socket: "s".into() },
        Frame::Detach { session, nsp: NamespaceNumber(0) },
        persist(session, "first"),
        recorded(Bytes::new()),
        restore(1),
    ] {
        let (mut pair, _) = Pair::with_session(LinkConfig::default(), LinkConfig::default());
        let error = pair.node.handle_frame(pair.now, early).unwrap_err();
        assert_eq!(error, Misbehaved::NamespaceUnknown(NamespaceNumber(0)));
    }

    let (mut pair, _) = Pair::with_session(LinkConfig::default(), LinkConfig::default());
    let given: Vec<_> =
        (0..).map_while(|n| pair.node.handle_frame(pair.now, give(n)).ok()).collect();
    assert_eq!(given.len(), pair::NAMESPACES_MAX);
}

#[test]
fn lanes_never_give_out_the_same_number_and_reuse_the_freed_ones_first() {
    let mut lanes: Vec<_> = (0..3).map(|lane| Numbers::lane(lane, 3)).collect();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..10 {
        for lane in &mut lanes {
            assert!(seen.insert(lane.take().unwrap()));
        }
    }
    lanes[1].free(4);
    assert_eq!(lanes[1].take(), Some(4));
    assert_eq!(lanes[1].take(), Some(31));
    let mut last = Numbers::lane(u32::MAX - 1, 1);
    assert_eq!((last.take(), last.take()), (Some(u32::MAX - 1), None), "numbers do not wrap");
}
