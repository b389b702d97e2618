//! Any sequence of clients' packets, ends and answers keeps the promises.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Op {
    Answer(usize, u16),
    Binary(u32),
    Close(u32),
    Disconnect(u32),
    Later,
    Open(u32),
    Text(u32, &'static str),
}

const TEXTS: [&str; 10] = [
    "0",
    "0/a,",
    "1",
    "1/a,",
    r#"2["x"]"#,
    r#"20["y"]"#,
    r#"2/a,["z"]"#,
    "30[]",
    "x",
    r#"51-["b",{"_placeholder":true,"num":0}]"#,
];

fn op() -> impl Strategy<Value = Op> {
    let session = 0..3_u32;
    prop_oneof![
        6 => (0..8_usize, prop::sample::select(vec![200, 204, 403, 500])).prop_map(|(a, b)| Op::Answer(a, b)),
        1 => session.clone().prop_map(Op::Binary),
        1 => session.clone().prop_map(Op::Close),
        1 => session.clone().prop_map(Op::Disconnect),
        1 => Just(Op::Later),
        3 => session.clone().prop_map(Op::Open),
        12 => (session, prop::sample::select(TEXTS.to_vec())).prop_map(|(a, b)| Op::Text(a, b)),
    ]
}

/// The events that a handler received about one socket.
#[derive(Default)]
struct Heard {
    accepted: bool,
    connected: u32,
    disconnected: u32,
    unanswered: bool,
}

#[derive(Default)]
struct Handler {
    sockets: HashMap<Box<str>, Heard>,
    /// The open calls: their socket, and whether they are `connect`.
    open: Vec<(CallKey, Box<str>, bool)>,
}

impl Handler {
    fn hear(&mut self, machine: &mut Machine) {
        while let Some(output) = machine.poll_output() {
            let Output::Call { call, event } = output else { continue };
            let heard = self.sockets.entry(event.socket.id.clone()).or_default();
            assert_eq!(heard.disconnected, 0, "nothing is told behind the end");
            match (&event.kind, call) {
                (EventKind::Connect, Some(call)) => {
                    self.open.push((call, event.socket.id.clone(), true))
                }
                (EventKind::User(_), Some(call)) => {
                    assert!(heard.accepted && !heard.unanswered, "one after another");
                    heard.unanswered = true;
                    self.open.push((call, event.socket.id.clone(), false));
                }
                (EventKind::Connected, Some(call)) => {
                    heard.connected += 1;
                    heard.unanswered = true;
                    self.open.push((call, event.socket.id.clone(), false));
                }
                (EventKind::Disconnected, None) => {
                    assert!(heard.accepted && !heard.unanswered);
                    heard.disconnected += 1;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn answer(&mut self, machine: &mut Machine, at: usize, status: u16) {
        if self.open.is_empty() {
            return;
        }
        let (call, id, connect) = self.open.remove(at % self.open.len());
        let heard = self.sockets.get_mut(&id).expect("it was heard of");
        heard.unanswered = false;
        heard.accepted |= connect && status < 300;
        machine.handle_answer(call, &response(status, "430[]"));
    }
}

proptest! {
    #[test]
    fn each_accepted_socket_ends_once_and_nothing_is_left(ops in prop::collection::vec(op(), 1..80)) {
        let settings = Settings { socket_events_max: 3, waiting_bytes_max: 200, namespaces_max: 2, ..Settings::default() };
        let mut world = World::new(settings);
        let mut handler = Handler::default();
        let mut open = [false; 3];
        for op in ops {
            match op {
                Op::Answer(at, status) => handler.answer(&mut world.machine, at, status),
                Op::Binary(session) => world.machine.handle_binary(session),
                Op::Close(session) => {
                    world.machine.handle_closed(session, "");
                    open[session as usize] = false;
                }
                Op::Disconnect(session) => world.machine.disconnect(session, "/"),
                Op::Later => {
                    world.now = world.now + Duration::from_secs(30);
                    world.machine.handle_timeout(world.now);
                }
                Op::Open(session) if !open[session as usize] => {
                    world.open(session);
                    open[session as usize] = true;
                }
                Op::Open(_) => (),
                Op::Text(session, text) => {
                    let ids = &mut world.ids;
                    world.machine.handle_text(session, text, &mut || { *ids += 1; format!("s{ids}").into() });
                }
            }
            handler.hear(&mut world.machine);
        }
        for session in 0..3 {
            world.machine.handle_closed(session, "end");
        }
        handler.hear(&mut world.machine);
        while !handler.open.is_empty() {
            handler.answer(&mut world.machine, 0, 204);
            handler.hear(&mut world.machine);
        }
        for heard in handler.sockets.values() {
            prop_assert_eq!(heard.disconnected, u32::from(heard.accepted));
            prop_assert!(heard.connected <= 1);
        }
        prop_assert_eq!((world.machine.sockets(), world.machine.waiting_bytes()), (0, 0));
        prop_assert_eq!(world.machine.poll_deadline(), None);
    }
}
