//! One hub at several nodes: tunnels that end at one serve clients of all, and a call at any reaches all.

mod calls;
mod random;
mod serving;
mod streams;

use std::collections::VecDeque;

use trunkline_http::PeerNotice;

use super::*;

const CALL: Duration = Duration::from_secs(2);

/// Nodes 0, 1, … with the numbers 100, 101, …; what they say to one another arrives in order.
struct Cluster {
    nodes: Vec<World>,
    wire: VecDeque<(usize, usize, u32, Bytes)>,
    /// Words to and from this node wait.
    stuck: Option<usize>,
}

fn key(node: usize) -> PeerKey {
    PeerKey { number: 100 + u16::try_from(node).expect("few"), incarnation: 1 + node as u64 }
}

impl Cluster {
    fn new(count: usize) -> Self {
        let nodes = (0..count).map(|_| World::new()).collect();
        let mut cluster = Self { nodes, wire: VecDeque::new(), stuck: None };
        for node in 0..count {
            let PeerKey { number, incarnation } = key(node);
            cluster.nodes[node].number = Some(number);
            cluster.notice(node, PeerNotice::Own { incarnation, number });
            cluster.notice(node, PeerNotice::Bus(true));
            for other in (0..count).filter(|other| *other != node) {
                let numbers = vec![key(other).number];
                let known =
                    PeerNotice::Known { peer: key(other), name: format!("node-{other}"), numbers };
                cluster.notice(node, known);
            }
        }
        for one in 0..count {
            for other in 0..one {
                cluster.link(one, other);
            }
        }
        cluster
    }

    /// Two nodes; at the first ends tunnel 1 of the app server `a`.
    fn with_server() -> Self {
        let mut cluster = Self::new(2);
        cluster.nodes[0].tunnel_up(1, "a");
        cluster.carry();
        assert!(matches!(cluster.nodes[0].take_messages()[..], [Message::Connected { .. }]));
        cluster
    }

    fn link(&mut self, one: usize, other: usize) {
        self.notice(one, PeerNotice::Linked(key(other)));
        self.notice(other, PeerNotice::Linked(key(one)));
        self.carry();
    }

    fn unlink(&mut self, one: usize, other: usize) {
        self.collect();
        self.wire.retain(|(from, to, ..)| ![(one, other), (other, one)].contains(&(*from, *to)));
        self.notice(one, PeerNotice::Unlinked(key(other)));
        self.notice(other, PeerNotice::Unlinked(key(one)));
        self.carry();
    }

    fn notice(&mut self, node: usize, notice: PeerNotice) {
        let world = &mut self.nodes[node];
        world.hub.handle_notice(world.now, notice);
        world.drain();
    }

    fn collect(&mut self) {
        for from in 0..self.nodes.len() {
            for (to, number, word) in std::mem::take(&mut self.nodes[from].words) {
                let to = usize::from(to.number - 100);
                self.wire.push_back((from, to, number, word));
            }
        }
    }

    /// Lets every word arrive, and those that follow.
    fn carry(&mut self) {
        let mut kept = VecDeque::new();
        loop {
            self.collect();
            let Some((from, to, number, word)) = self.wire.pop_front() else { break };
            if self.stuck.is_some_and(|stuck| stuck == from || stuck == to) {
                kept.push_back((from, to, number, word));
                continue;
            }
            let hub = Str::EMPTY;
            self.notice(to, PeerNotice::Word { peer: key(from), door: 1, hub, number, word });
        }
        self.wire = kept;
    }

    fn pass(&mut self, time: Duration) {
        for node in &mut self.nodes {
            node.pass(time);
        }
        self.carry();
    }

    fn open(&mut self, node: usize, session: u32) {
        self.nodes[node].open(session, &json!({ "sub": format!("user{session}") }));
        self.carry();
    }

    /// Connects a client of this node to the app server whose tunnel 1 ends at the first node.
    fn client(&mut self, node: usize, session: u32) {
        self.open(node, session);
        let connect = self.nodes[0].take_requests().pop().expect("a connect event");
        self.reply(&connect, 200, &accepted("x"));
        let sid = self.nodes[node].sid(session);
        let own = Group::room_name("/", &format!("s{session}"));
        let body = json!({ "groups": [own], "filter": format!("connectionId eq '{sid}'") });
        assert_eq!(self.call("POST", ":addToGroups", &body.to_string()).status_code, 200);
        let packet = format!("40{{\"sid\":\"s{session}\"}}");
        assert_eq!(
            self.call("POST", &format!("connections/{sid}/:send"), &packet).status_code,
            202
        );
        self.nodes[node].take_frames();
    }

    fn reply(&mut self, event: &Request, status: u16, body: &str) {
        let content = Bytes::copy_from_slice(body.as_bytes());
        let response =
            Response { ack_id: event.ack_id, status_code: status, content, ..Response::default() };
        let world = &mut self.nodes[0];
        world.hub.handle_tunnel_message(world.now, TunnelId(1), Message::Response(response));
        world.drain();
        self.carry();
    }

    /// A call of the app server, and the parts of its answer.
    fn call_parts(&mut self, method: &str, path: &str, body: &str) -> Vec<Response> {
        let ack_id = self.nodes[0].begin_call(method, path, body);
        self.carry();
        self.nodes[0].take_parts(ack_id)
    }

    fn call(&mut self, method: &str, path: &str, body: &str) -> Response {
        let mut parts = self.call_parts(method, path, body);
        assert_eq!(parts.len(), 1, "{method} {path}: {parts:?}");
        parts.remove(0)
    }

    /// The answer to a call over HTTP at a node; `None` while it waits.
    fn http(&mut self, node: usize, method: &str, url: &str, body: &str) -> Option<Answer> {
        self.nodes[node].begin_http(1, method, url, body);
        self.carry();
        self.nodes[node].answers.pop().map(|(_, answer)| answer)
    }

    fn status(&mut self, node: usize, method: &str, url: &str, body: &str) -> u16 {
        self.http(node, method, url, body).expect("an answer").status
    }

    fn hear(&mut self, node: usize, session: u32, text: &str) {
        self.nodes[node].hear(session, text);
        self.carry();
    }

    fn broadcasts(&mut self, node: usize) -> usize {
        let frames = self.nodes[node].take_frames();
        frames.iter().filter(|frame| matches!(frame, Frame::Broadcast(_))).count()
    }
}
