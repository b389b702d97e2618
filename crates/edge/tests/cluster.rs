//! Two nodes of one cluster in this process, with their threads and streams: a client's requests go
//! to either.
#![allow(clippy::unwrap_used, reason = "a broken expectation fails the test")]

mod app;

use std::collections::{HashMap, VecDeque};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use app::{App, edge_with};
use bytes::Bytes;
use trunkline_clock::Timestamp;
use trunkline_edge::{BusEvents, ClusterConfig, Limits, OpenBus, Relayed, Running, Witness};
use trunkline_mesh::{
    Bus, BusEvent, ClusterKey, Config, Destination, Event, Identity, Mesh, Presence,
};
use trunkline_trunk::{EndEvent, Frame, SessionNumber, Str};

/// The longest time that a test waits for anything.
const LONGEST: Duration = Duration::from_secs(20);

/// A bus within this process.
#[derive(Clone, Default)]
struct Loop(Arc<Mutex<HashMap<u64, Inbox>>>);

#[derive(Default)]
struct Inbox {
    numbers: Vec<u16>,
    events: VecDeque<BusEvent>,
    waker: Option<Waker>,
}

impl Inbox {
    fn put(&mut self, event: BusEvent) {
        self.events.push_back(event);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

struct Place {
    all: Loop,
    incarnation: u64,
}

impl Bus for Place {
    fn subscribe(&mut self, number: u16) {
        let mut all = self.all.0.lock().unwrap();
        all.entry(self.incarnation).or_default().numbers.push(number);
    }

    fn publish(&mut self, to: &Destination, payload: Bytes) {
        let mut all = self.all.0.lock().unwrap();
        for (incarnation, inbox) in all.iter_mut().filter(|(own, _)| **own != self.incarnation) {
            let lane = match to {
                Destination::Everybody => None,
                Destination::Node { number, incarnation: wanted, lane }
                    if wanted == incarnation && inbox.numbers.contains(number) =>
                {
                    Some(*lane)
                }
                Destination::Node { .. } => continue,
            };
            inbox.put(BusEvent::Datagram { lane, payload: payload.clone() });
        }
    }
}

impl BusEvents for Place {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<BusEvent> {
        let mut all = self.all.0.lock().unwrap();
        let inbox = all.entry(self.incarnation).or_default();
        match inbox.events.pop_front() {
            Some(event) => Poll::Ready(event),
            None => {
                inbox.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// The peers that a node can reach.
#[derive(Clone, Debug, Default)]
struct Peers(Arc<Mutex<usize>>);

impl Witness for Peers {
    fn saw(&mut self, _: Timestamp, mesh: &Mesh, _: &Event) {
        let up = mesh.members().filter(|member| member.presence == Presence::Up).count();
        *self.0.lock().unwrap() = up;
    }

    fn looked(&mut self, _: Timestamp, _: &Mesh, _: &Relayed) {}
}

struct Node {
    running: Running,
    address: SocketAddr,
    app: App,
}

/// Nodes that see one another, each with a trunk of the same app server.
fn nodes(count: u64) -> Vec<Node> {
    nodes_with(count, "{}")
}

fn nodes_with(count: u64, settings: &str) -> Vec<Node> {
    let all = Loop::default();
    let started: Vec<_> = (1..=count)
        .map(|incarnation| {
            let mut edge = edge_with(Limits::default());
            let address = edge.local_addr();
            let identity = Identity {
                cluster: "test".into(),
                node_id: format!("n{incarnation}"),
                incarnation,
                number: None,
                advertise: String::new(),
                version: "1".into(),
                hubs_digest: [0; 8],
            };
            let peers = Peers::default();
            let all = all.clone();
            let place = move || Place { all: all.clone(), incarnation };
            edge.set_cluster(ClusterConfig {
                identity,
                mesh: Config { listen: Duration::from_millis(100), ..Config::default() },
                key: ClusterKey::new(b"a key of the cluster, long enough".to_vec()),
                seed: incarnation,
                open: Box::new(move || {
                    let mut events = place();
                    events.put_first(BusEvent::Connected { payload_max: 1 << 20 });
                    Ok(OpenBus { bus: Box::new(place()), events: Box::new(events) })
                }),
                witness: Box::new(peers.clone()),
            });
            (edge.start().unwrap(), address, peers)
        })
        .collect();
    let until = Instant::now() + LONGEST;
    let sees_all = |peers: &Peers| *peers.0.lock().unwrap() as u64 == count - 1;
    while !started.iter().all(|(node, _, peers)| node.node_number().is_some() && sees_all(peers)) {
        assert!(Instant::now() < until, "they do not meet");
        std::thread::sleep(Duration::from_millis(5));
    }
    let up = |(running, address, _): (Running, SocketAddr, Peers)| {
        let app = App::up(&running.inside(), settings);
        Node { running, address, app }
    };
    started.into_iter().map(up).collect()
}

impl Place {
    fn put_first(&mut self, event: BusEvent) {
        self.all.0.lock().unwrap().entry(self.incarnation).or_default().put(event);
    }
}

/// Sends a request, and reads the answer later: the stream stays open.
struct Asked(TcpStream);

fn ask(node: &Node, method: &str, query: &str, body: &str) -> Asked {
    ask_at(node.address, method, query, body)
}

fn ask_at(address: SocketAddr, method: &str, query: &str, body: &str) -> Asked {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONGEST)).unwrap();
    let length = body.len();
    let request = format!(
        "{method} /socket.io/?EIO=4&transport=polling{query} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    Asked(stream)
}

impl Asked {
    /// The status and the body.
    fn answer(&mut self) -> (u16, String) {
        let mut bytes = Vec::new();
        let mut part = [0; 4096];
        loop {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                let length: usize = length.map_or(0, |length| length.parse().unwrap());
                if body.len() >= length {
                    return (head[9..12].parse().unwrap(), body.to_owned());
                }
            }
            let count = self.0.read(&mut part).unwrap();
            if count == 0 {
                return (0, text);
            }
            bytes.extend_from_slice(&part[..count]);
        }
    }

    /// The answer to another request on the same stream.
    fn again(&mut self, query: &str) -> (u16, String) {
        let request =
            format!("GET /socket.io/?EIO=4&transport=polling{query} HTTP/1.1\r\nhost: x\r\n\r\n");
        self.0.write_all(request.as_bytes()).unwrap();
        self.answer()
    }
}

/// Opens a session at a node. Returns what its requests name, and its number on the trunk.
fn open(node: &mut Node, sid: &str) -> (String, SessionNumber) {
    let mut handshake = ask(node, "GET", "", "");
    let session = node.app.hears(|event| {
        let EndEvent::Frame(Frame::Open(open)) = event else { return None };
        Some(open.session)
    });
    let accept = Frame::Accept {
        session,
        sid: Str::from(sid.to_owned()),
        headers: Vec::new(),
        lasting: Vec::new(),
    };
    node.app.send(accept);
    let (status, body) = handshake.answer();
    assert_eq!(status, 200, "{body}");
    let sid = body.split('"').nth(3).unwrap().to_owned();
    (format!("&sid={sid}"), session)
}

fn sends(node: &mut Node, session: SessionNumber, text: &'static str) {
    let payload = Bytes::from_static(text.as_bytes());
    node.app.send(Frame::Send { session, flags: trunkline_trunk::SendFlags::default(), payload });
}

#[test]
fn a_session_is_served_at_either_node() {
    let mut nodes = nodes(2);
    let (sid, session) = open(&mut nodes[0], "");
    let mut held = ask(&nodes[1], "GET", &sid, "");
    let posted = ask(&nodes[1], "POST", &sid, "4hello").answer();
    assert_eq!(posted, (200, "ok".into()));
    let heard = nodes[0].app.hears(|event| {
        let EndEvent::Frame(Frame::Message { payload, .. }) = event else { return None };
        Some(payload)
    });
    assert_eq!(heard, "hello");
    sends(&mut nodes[0], session, "one");
    assert_eq!(held.answer(), (200, "4one".into()));
    // The stream of a held poll serves more requests.
    sends(&mut nodes[0], session, "two");
    assert_eq!(held.again(&sid), (200, "4two".into()));
    sends(&mut nodes[0], session, "three");
    assert_eq!(ask(&nodes[0], "GET", &sid, "").answer(), (200, "4three".into()));
    // The client goes away in the middle of a poll, at the other node.
    let held = ask(&nodes[1], "GET", &sid, "");
    assert_eq!(ask(&nodes[1], "POST", &sid, "4x").answer().0, 200, "so the poll is there, too");
    drop(held);
    nodes[0].app.hears(|event| {
        let EndEvent::Frame(Frame::Close { .. }) = event else { return None };
        Some(())
    });
    nodes.into_iter().for_each(Node::stop);
}

#[test]
fn a_session_with_the_apps_own_id_is_found_at_either_node() {
    let mut nodes = nodes(2);
    let (sid, session) = open(&mut nodes[0], "my-own");
    assert_eq!(sid, "&sid=my-own");
    sends(&mut nodes[0], session, "one");
    assert_eq!(ask(&nodes[1], "GET", &sid, "").answer(), (200, "4one".into()));
    assert_eq!(ask(&nodes[1], "POST", &sid, "4x").answer().0, 200);
    nodes.into_iter().for_each(Node::stop);
}

#[test]
fn a_node_that_stops_sends_the_pollers_of_others_there() {
    let mut nodes = nodes(2);
    let (sid, session) = open(&mut nodes[0], "");
    let mut held = ask(&nodes[1], "GET", &sid, "");
    assert_eq!(ask(&nodes[1], "POST", &sid, "4x").answer().0, 200, "so the poll is there, too");
    nodes.remove(1).stop();
    assert_eq!(held.answer(), (200, "6".into()));
    sends(&mut nodes[0], session, "one");
    assert_eq!(ask(&nodes[0], "GET", &sid, "").answer(), (200, "4one".into()));
    nodes.into_iter().for_each(Node::stop);
}

#[test]
fn a_node_that_stops_ends_what_the_others_ask_of_it() {
    let mut nodes = nodes(2);
    let (sid, _) = open(&mut nodes[0], "");
    let mut held = ask(&nodes[1], "GET", &sid, "");
    let answered = ask(&nodes[1], "POST", &sid, "4x").answer();
    assert_eq!(answered.0, 200, "so the poll is there, too");
    nodes.remove(0).stop();
    let (status, body) = held.answer();
    assert_eq!((status, &*body), (200, "1"), "it closes its sessions");
    let Node { running, address, app } = nodes.remove(0);
    // Without an app server the node itself says so.
    drop(app);
    let (status, body) = ask_at(address, "GET", &sid, "").answer();
    assert!(status == 400 && body.contains("Session ID unknown"), "{status} {body}");
    running.stop();
}

#[test]
fn no_request_passes_an_app_server_that_sees_each_and_has_no_trunk_here() {
    const EACH: &str = r#"{"everyRequest":true}"#;
    let mut nodes = nodes_with(2, EACH);
    let (sid, _) = open(&mut nodes[0], "");
    let Node { running, address, app } = nodes.remove(1);
    drop(app);
    let until = Instant::now() + LONGEST;
    let (unknown, _) = ask_at(address, "GET", "&sid=nobody", "").answer();
    assert_eq!(unknown, 400);
    // It still has the trunk for a moment.
    let app = App::up_as(&running.inside(), "another", EACH);
    loop {
        let (status, body) = ask_at(address, "POST", &sid, "4x").answer();
        if body.contains("cannot_ask") {
            assert_eq!(status, 503);
            break;
        }
        assert!(Instant::now() < until, "{status} {body}");
    }
    drop(app);
    running.stop();
    nodes.into_iter().for_each(Node::stop);
}

impl Node {
    fn stop(self) {
        drop(self.app);
        self.running.stop();
    }
}
