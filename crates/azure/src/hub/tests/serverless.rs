//! A hub with event handlers: clients, webhooks and REST calls.

use super::*;
use crate::serverless::{Answered, CallKey, EventKind, Settings as Serverless};

/// A call of a handler: event name, namespace, socket; and the key of the call, if its answer is
/// awaited.
type Told = (String, Option<CallKey>);

struct Hooked {
    world: World,
    told: Vec<Told>,
}

impl Hooked {
    fn new() -> Self {
        let mut world = World::new();
        let settings = Settings { serverless: Some(Serverless::default()), ..world.hub.settings };
        world.hub = Hub::new(settings, Metrics::default(), [7; 16]);
        world.hub.handle_trunk_up(world.now);
        Self { world, told: Vec::new() }
    }

    /// Runs an action and keeps the calls of handlers.
    fn act(&mut self, act: impl FnOnce(&mut Hub, Now)) {
        act(&mut self.world.hub, self.world.now);
        while let Some(output) = self.world.hub.poll_output() {
            match output {
                Output::Frame(frame) => self.world.frames.push(frame),
                Output::Answer(call, answer) => self.world.answers.push((call, answer)),
                Output::Webhook(call, event) => {
                    let at = &event.socket.namespace;
                    self.told.push((format!("{} {at}", event.kind.name()), call));
                    assert_eq!(event.kind == EventKind::Disconnected, call.is_none());
                }
                Output::Processed(bytes) => self.world.processed += bytes,
                Output::Word(..) | Output::Message(..) | Output::EndTunnel(..) => {
                    panic!("no app server is here")
                }
            }
        }
    }

    fn open(&mut self, session: u32) {
        let header = Header { name: "origin".into(), value: "http://page".into() };
        let request = ClientRequest {
            transport: Transport::WebSocket,
            secure: false,
            address: "127.0.0.9".into(),
            port: 5,
            method: "GET".into(),
            url: "/clients/socketio/hubs/Chat/?EIO=4&transport=websocket".into(),
            headers: vec![header],
            claims: Str::from(r#"{"sub":"ann"}"#),
        };
        let (session, sid) = (SessionNumber(session), Str::from(format!("c{session}")));
        let open = Open { session, eio: EioVersion::V4, sid, request };
        self.act(|hub, now| hub.handle_frame(now, Frame::Open(Box::new(open))));
    }

    fn hear(&mut self, session: u32, text: &str) {
        let (session, payload) = (SessionNumber(session), Bytes::copy_from_slice(text.as_bytes()));
        self.act(|hub, now| {
            hub.handle_frame(now, Frame::Message { session, binary: false, payload });
            hub.handle_batch_end(now);
        });
    }

    /// Answers the oldest event as the handler; the event must be this one.
    fn answer(&mut self, event: &str, status: u16, body: &'static str) {
        let (told, call) = self.told.remove(0);
        assert_eq!(told, event);
        let media_type = "text/plain".to_owned();
        let answered = Answered::Response { status, media_type, body: body.into() };
        self.act(|hub, now| {
            hub.handle_webhook_answer(now, call.expect("it is awaited"), &answered)
        });
    }

    /// Connects a client to a namespace; returns its socket's id.
    fn socket(&mut self, session: u32, namespace: &str) -> String {
        self.open(session);
        self.hear(session, &format!("0{namespace},"));
        self.answer(&format!("connect {namespace}"), 204, "");
        self.answer(&format!("connected {namespace}"), 200, "");
        let attached = self.world.take_frames().into_iter().find_map(|frame| {
            let Frame::Attach { socket, .. } = frame else { return None };
            Some(socket.to_string())
        });
        attached.expect("it is attached")
    }

    fn call(&mut self, method: &str, url: &str, body: &str) -> u16 {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let path = format!("/api/hubs/Chat/{path}");
        let body = Bytes::copy_from_slice(body.as_bytes());
        let raw = RawCall::new(method, &path, query, body.clone());
        let call = rest::parse(method, &path, query, body).expect("a call");
        self.act(|hub, now| hub.handle_call(now, CallId(1), call.operation, raw));
        self.world.answers.remove(0).1.status
    }
}

#[test]
fn a_client_is_accepted_at_once_and_attached_before_it_hears_of_it() {
    let mut hooked = Hooked::new();
    assert!(hooked.world.hub.wants_trunk());
    hooked.open(1);
    assert!(matches!(hooked.world.take_frames()[..], [Frame::Accept { .. }]));
    hooked.hear(1, "0");
    hooked.answer("connect /", 204, "");
    let frames = hooked.world.take_frames();
    let [Frame::Namespace { .. }, Frame::Attach { socket, .. }, Frame::Send { payload, .. }] =
        &frames[..]
    else {
        panic!("{frames:?}")
    };
    assert_eq!(payload, format!("0{{\"sid\":\"{socket}\"}}").as_bytes());
    hooked.answer("connected /", 500, "");
    hooked.hear(1, r#"27["hi"]"#);
    hooked.answer("hi /", 200, "437[1]");
    assert_eq!(hooked.world.take_sent(), ["1:37[1]"]);
    assert!(hooked.world.processed > 0, "the inner trunk's credit comes back");
}

#[test]
fn a_refused_socket_is_in_no_group() {
    let mut hooked = Hooked::new();
    hooked.open(1);
    hooked.hear(1, "0/a,");
    hooked.world.take_frames();
    hooked.answer("connect /a", 403, "no");
    assert_eq!(hooked.world.take_sent(), [r#"1:4/a,{"message":"no"}"#]);
    assert_eq!(hooked.call("HEAD", &format!("groups/{}", Group::room_name("/a", "")), ""), 404);
}

#[test]
fn the_data_plane_finds_sockets_by_their_own_rooms() {
    let mut hooked = Hooked::new();
    let id = hooked.socket(1, "/ns");
    let own = Group::room_name("/ns", &id);
    let red = Group::room_name("/ns", "red");
    let body = json!({ "groups": [red], "filter": format!("'{own}' in groups") }).to_string();
    assert_eq!(hooked.call("POST", ":addToGroups", &body), 200);
    let frames = hooked.world.take_frames();
    assert!(
        matches!(&frames[..], [Frame::Join { rooms, .. }] if *rooms[0] == *"red"),
        "{frames:?}"
    );
    assert_eq!(hooked.call("POST", &format!("groups/{red}/:send"), r#"42/ns,["hi"]"#), 202);
    let frames = hooked.world.take_frames();
    let [Frame::Broadcast(broadcast)] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!(*broadcast.rooms[0], *"red");
    assert_eq!(hooked.call("POST", "users/ann/:send", r#"42/ns,["ann"]"#), 202);
    assert_eq!(hooked.world.take_sent(), [r#"1:2/ns,["ann"]"#]);
}

#[test]
fn whoever_ends_a_socket_its_handler_hears_of_it_once() {
    let ends: [fn(&mut Hooked, &str); 6] = [
        |hooked, _| hooked.hear(1, "1/ns,"),
        |hooked, own| {
            assert_eq!(hooked.call("POST", &format!("groups/{own}/:send"), "41/ns,"), 202)
        },
        |hooked, own| {
            let body = r#"41/ns,{"close":true}"#;
            assert_eq!(hooked.call("POST", &format!("groups/{own}/:send"), body), 202);
        },
        |hooked, _| assert_eq!(hooked.call("POST", "connections/c1/:send", "41/ns,"), 202),
        |hooked, _| assert_eq!(hooked.call("DELETE", "connections/c1", ""), 204),
        |hooked, _| hooked.act(|hub, now| hub.handle_trunk_down(now)),
    ];
    for (number, end) in ends.into_iter().enumerate() {
        let mut hooked = Hooked::new();
        let id = hooked.socket(1, "/ns");
        let own = Group::room_name("/ns", &id);
        end(&mut hooked, &own);
        let session = SessionNumber(1);
        let (reason, description) = (CloseReason::ClientClosed.into(), Str::EMPTY);
        let close = Frame::Close { session, reason, description };
        hooked.act(|hub, now| hub.handle_frame(now, close));
        assert_eq!(hooked.told, [("disconnected /ns".to_owned(), None)], "end {number}");
        assert_eq!(hooked.call("HEAD", &format!("groups/{own}"), ""), 404);
    }
}

#[test]
fn what_breaks_the_protocol_is_closed() {
    let mut hooked = Hooked::new();
    hooked.socket(1, "/ns");
    hooked.hear(1, "no packet");
    assert_eq!(hooked.world.take_sent(), ["1:close"]);
    assert_eq!(hooked.told, [("disconnected /ns".to_owned(), None)]);
    hooked.open(2);
    hooked.world.take_frames();
    hooked.world.now.at = hooked.world.now.at + Duration::from_secs(45);
    hooked.act(Hub::handle_timeout);
    assert_eq!(hooked.world.take_sent(), ["2:close"]);
}

#[test]
fn an_app_server_that_comes_takes_the_new_clients() {
    let mut hooked = Hooked::new();
    hooked.socket(1, "/ns");
    hooked.world.tunnel_up(1, "a");
    hooked.world.take_messages();
    hooked.world.open(2, &json!({}));
    assert_eq!(names(&hooked.world.take_requests()), ["connect"]);
    hooked.hear(1, r#"2/ns,["hi"]"#);
    hooked.answer("hi /ns", 204, "");
}
