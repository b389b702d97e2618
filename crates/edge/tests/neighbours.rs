//! A node asks its neighbours for what it does not have; without neighbours it asks no one.

mod app;

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use app::{App, NODE, ask, edge};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Response;
use trunkline_edge::{KeptSocket, Neighbours, Relay, Restoring};
use trunkline_http::{SideAnswer, Visit};
use trunkline_trunk::{
    EndEvent, Found, Frame, NamespaceNumber, RequestId, Restored, RestoredAt, Str,
};

/// Another node. It has the sessions whose sids begin with node 8, and keeps the socket of one
/// private id.
#[derive(Debug, Default)]
struct OtherNode {
    heard: Mutex<Vec<String>>,
}

impl OtherNode {
    fn hears(&self, what: String) {
        self.heard.lock().expect("no panic").push(what);
    }

    fn take_heard(&self) -> Vec<String> {
        std::mem::take(&mut *self.heard.lock().expect("no panic"))
    }
}

impl Neighbours for OtherNode {
    fn peers(&self, _: &str) -> Vec<String> {
        vec!["far".into()]
    }

    fn relay(&self, hub: &str, Relay { from, to, payload }: &Relay<'_>) -> u64 {
        self.hears(format!("{hub}: {from} to {to:?}: {} bytes", payload.len()));
        1
    }

    fn restore(&self, hub: &str, wanted: KeptSocket) -> Restoring {
        self.hears(format!("{hub}{} wants {} at {}", wanted.nsp, wanted.pid, wanted.offset));
        Box::pin(async move {
            // Not at once, like a node that is far away.
            tokio::task::yield_now().await;
            let found = RestoredAt {
                found: Found::Yes,
                socket: Str::from_static("socket"),
                ..RestoredAt::nothing(RequestId(999))
            };
            (&*wanted.pid == "far").then_some(found)
        })
    }

    fn give_back(&self, hub: &str, socket: KeptSocket) {
        self.hears(format!("{hub}{} gives back {}", socket.nsp, socket.pid));
    }

    fn owns(&self, hub: &str, sid: &str) -> bool {
        self.hears(format!("{hub}: whose is {sid}?"));
        sid == self::sid(8, 0) || sid == "the-app's-own"
    }

    fn serve(&self, hub: &str, sid: &str, visit: Visit) -> SideAnswer {
        let lease = visit.lease.is_some();
        self.hears(format!("{hub}: {} of {sid}, lease: {lease}", visit.request.method()));
        let body =
            Full::new(Bytes::from_static(b"from far")).map_err(|never: Infallible| match never {});
        Box::pin(async move { Response::new(body.boxed()) })
    }
}

/// A sid as made by the node of this number, for a session of that shard.
fn sid(node: u16, shard: u8) -> String {
    let mut bytes = [9; 21];
    bytes[..2].copy_from_slice(&node.to_be_bytes());
    bytes[2] = shard;
    URL_SAFE_NO_PAD.encode(bytes)
}

fn poll(sid: &str) -> String {
    format!("/socket.io/?EIO=4&transport=polling&sid={sid}")
}

const UPGRADE: &str = "upgrade: websocket\r\nconnection: upgrade\r\n";

#[test]
fn a_session_of_another_node_is_served_by_it_and_any_other_by_this_one() {
    let mut edge = edge();
    let address = edge.local_addr();
    let far = Arc::new(OtherNode::default());
    edge.set_neighbours(far.clone());
    let running = edge.start().unwrap();
    let theirs = sid(8, 0);
    assert!(ask(address, &poll(&theirs), "").ends_with("from far"));
    let heard =
        [format!("chat: whose is {theirs}?"), format!("chat: GET of {theirs}, lease: false")];
    assert_eq!(far.take_heard(), heard);
    assert!(ask(address, &poll(&theirs), UPGRADE).ends_with("from far"));
    assert_eq!(far.take_heard()[1], format!("chat: GET of {theirs}, lease: true"));
    assert!(ask(address, &poll("the-app's-own"), "").ends_with("from far"));
    far.take_heard();
    // This node's own number: the neighbour is not asked, although no session has this sid.
    assert!(ask(address, &poll(&sid(NODE, 0)), "").contains("Session ID unknown"));
    // A new client has no session yet, and there is no app server for it.
    assert!(ask(address, "/socket.io/?EIO=4&transport=polling", "").contains("503"));
    // This path serves no Socket.IO.
    assert!(ask(address, &format!("/elsewhere?sid={theirs}"), "").contains("404"));
    assert!(far.take_heard().is_empty());
    for stranger in [sid(8, 1), sid(NODE, 1), "made-up".into()] {
        assert!(ask(address, &poll(&stranger), "").contains("Session ID unknown"));
        assert_eq!(far.take_heard(), [format!("chat: whose is {stranger}?")]);
    }
    running.stop();
}

#[test]
fn with_nobody_around_a_session_of_another_node_is_unknown() {
    let edge = edge();
    let address = edge.local_addr();
    let running = edge.start().unwrap();
    for stranger in [sid(8, 0), sid(NODE, 1), sid(NODE, 0), "made-up".into()] {
        assert!(ask(address, &poll(&stranger), "").contains("Session ID unknown"), "{stranger}");
    }
    running.stop();
}

fn restore(app: &mut App, number: u32, pid: &str) -> (Found, String) {
    let (request_id, nsp) = (RequestId(number), NamespaceNumber(0));
    let (pid, offset) = (pid.into(), "o1".into());
    app.send(Frame::Restore { request_id, nsp, pid, offset });
    let answer = app.hears(|event| {
        let EndEvent::Frame(Frame::RestoredAt(answer)) = event else { return None };
        Some(answer)
    });
    assert_eq!(answer.request_id, request_id);
    (answer.found, answer.socket.to_string())
}

#[test]
fn a_socket_that_no_shard_keeps_is_looked_for_elsewhere_and_given_back_there() {
    let mut edge = edge();
    let far = Arc::new(OtherNode::default());
    edge.set_neighbours(far.clone());
    let running = edge.start().unwrap();
    let mut app = App::up(&running.inside(), r#"{"connectionStateRecovery":{},"numbers":true}"#);
    assert_eq!(restore(&mut app, 4, "far"), (Found::Yes, "socket".into()));
    // The number may be used again.
    assert_eq!(restore(&mut app, 4, "nowhere"), (Found::No, String::new()));
    app.send(Frame::GiveBack { nsp: NamespaceNumber(0), pid: "far".into() });
    app.send(Frame::Relay { to: Vec::new(), payload: "hello".into() });
    app.send(Frame::Relay { to: vec!["app".into()], payload: "to itself".into() });
    app.send(Frame::Relay { to: vec!["app".into(), "far".into()], payload: "x".into() });
    // When this is answered, everything sent before is done.
    restore(&mut app, 5, "nowhere");
    assert_eq!(
        far.take_heard(),
        [
            "chat/ wants far at o1",
            "chat/ wants nowhere at o1",
            "chat/ gives back far",
            "chat: app to []: 5 bytes",
            r#"chat: app to ["far"]: 1 bytes"#,
            "chat/ wants nowhere at o1",
        ]
    );
    drop(app);
    running.stop();
}

#[test]
fn an_app_server_without_numbers_gets_nothing_from_elsewhere() {
    let mut edge = edge();
    let far = Arc::new(OtherNode::default());
    edge.set_neighbours(far.clone());
    let running = edge.start().unwrap();
    let mut app = App::up(&running.inside(), r#"{"connectionStateRecovery":{}}"#);
    let (request_id, nsp) = (RequestId(1), NamespaceNumber(0));
    app.send(Frame::Restore { request_id, nsp, pid: "far".into(), offset: "o1".into() });
    let nothing = app.hears(|event| {
        let EndEvent::Frame(Frame::Restored(answer)) = event else { return None };
        Some(*answer)
    });
    assert_eq!(nothing, Restored::nothing(request_id));
    assert!(far.take_heard().is_empty());
    drop(app);
    running.stop();
}
