//! A late frame never meets a new session: the life of a session's number.

mod pair;

use bytes::Bytes;
use pair::{Pair, accept, close, message, response, send};
use trunkline_trunk::{
    Action, AppNumberState as App, CloseReason, EndEvent, Frame, FrameKind, LinkConfig, Misbehaved,
    NamespaceNumber, NumberState as Node, Numbers, SessionNumber,
};

use trunkline_trunk::FrameKind::{
    Accept, Attach, Close, Detach, Join, Leave, Message, Open, Reject, Send, Upgraded,
};

type Outcome = Result<Action, Misbehaved>;

/// Every state of the node against every frame that an app server may send.
#[test]
fn the_node_judges_every_frame_in_every_state() {
    use Action::{Accepted, Closed, Deliver, Freed, Ignore, Rejected};
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
    ] {
        for kind in [Accept, Reject, Send, Attach, Detach, Join, Leave, Close] {
            let (outcome, next) = match (state, kind) {
                (Node::Open, Detach | Join | Leave | Send | Attach) => to(Deliver, Node::Open),
                (Node::ClosedByUs, Detach | Join | Leave | Send | Attach) => to(Ignore, state),
                (_, Detach | Join | Leave) => to(Ignore, state),
                (Node::Free, _) => error(NumberNotInUse, kind),
                (Node::ClosedByPeer, _) => error(AfterClose, kind),
                (Node::Opening, Accept) => to(Accepted, Node::Open),
                (Node::Opening, Reject) => to(Rejected, Node::Free),
                (Node::Opening | Node::Open, Close) => to(Closed, Node::ClosedByPeer),
                (Node::ClosedUnanswered, Accept) => to(Ignore, Node::ClosedByUs),
                (Node::ClosedUnanswered, Reject | Close) => to(Freed, Node::Free),
                (Node::ClosedByUs, Close) => to(Freed, Node::Free),
                (Node::Opening | Node::ClosedUnanswered, _) => error(BeforeAccept, kind),
                (Node::Open | Node::ClosedByUs, _) => error(AnsweredTwice, kind),
            };
            let mut after = state;
            assert_eq!(after.handle(kind), outcome, "{state:?} {kind}");
            assert_eq!(after, next.unwrap_or(state), "{state:?} {kind}");
        }
    }
}

/// Every state of the app server against every frame that a node may send.
#[test]
fn the_app_server_judges_every_frame_in_every_state() {
    for state in [App::Free, App::Opening, App::Open, App::ClosedByUs, App::ClosedByPeer] {
        for kind in [Open, Message, Upgraded, Close] {
            let (outcome, next) = match (state, kind) {
                (App::Free, Open) => (Ok(Action::Opened), App::Opening),
                (_, Open) => (Err(Misbehaved::NumberInUse(kind)), state),
                (App::Free, Close) => (Ok(Action::Ignore), state),
                (App::Opening | App::Open, Close) => (Ok(Action::Closed), App::ClosedByPeer),
                (App::ClosedByUs, Close) => (Ok(Action::Freed), App::Free),
                (App::Free, _) => (Err(Misbehaved::NumberNotInUse(kind)), state),
                (App::Opening, _) => (Err(Misbehaved::BeforeAccept(kind)), state),
                (App::Open, _) => (Ok(Action::Deliver), state),
                (App::ClosedByUs, _) => (Ok(Action::Ignore), state),
                (App::ClosedByPeer, _) => (Err(Misbehaved::AfterClose(kind)), state),
            };
            let mut after = state;
            assert_eq!(after.handle(kind), outcome, "{state:?} {kind}");
            assert_eq!(after, next, "{state:?} {kind}");
        }
    }
}

#[test]
fn a_frame_of_the_other_direction_is_misbehaviour_in_every_state() {
    for kind in [Open, Message, Upgraded] {
        assert_eq!(Node::Open.clone().handle(kind), Err(Misbehaved::WrongDirection(kind)));
    }
    for kind in [Accept, Reject, Send, Attach, Detach, Join, Leave] {
        assert_eq!(App::Open.clone().handle(kind), Err(Misbehaved::WrongDirection(kind)));
    }
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
fn namespaces_are_given_once_before_use_and_up_to_a_limit() {
    let give = |n| Frame::Namespace { nsp: NamespaceNumber(n), name: "/".into() };
    let (mut pair, session) = Pair::with_session(LinkConfig::default(), LinkConfig::default());
    pair.node.handle_frame(pair.now, give(0)).unwrap();
    let error = pair.node.handle_frame(pair.now, give(0)).unwrap_err();
    assert_eq!(error, Misbehaved::NamespaceGivenTwice(NamespaceNumber(0)));

    let (mut pair, _) = Pair::with_session(LinkConfig::default(), LinkConfig::default());
    let early = Frame::Detach { session, nsp: NamespaceNumber(3) };
    let error = pair.node.handle_frame(pair.now, early).unwrap_err();
    assert_eq!(error, Misbehaved::NamespaceUnknown(NamespaceNumber(3)));

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
