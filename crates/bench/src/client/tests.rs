use super::*;
use crate::manner::Manner;

const HEAD: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
const OPEN: &str =
    r#"0{"sid":"a","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() < 126);
    [&[first, payload.len() as u8][..], payload].concat()
}

fn text(payload: &str) -> Vec<u8> {
    frame(0x81, payload.as_bytes())
}

/// Everything the client wrote, unmasked, one string per frame.
fn written(mut out: &[u8]) -> Vec<String> {
    let mut frames = Vec::new();
    while let [first, second, rest @ ..] = out {
        assert!(*first == 0x81 || *first == 0x8a, "a final text or pong frame");
        let length = usize::from(second & 0x7f);
        let (mask, rest) = rest.split_at(4);
        let body = rest[..length].iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b);
        frames.push(String::from_utf8(body.collect()).unwrap());
        out = &rest[length..];
    }
    frames
}

fn site() -> Rc<Site> {
    Rc::new(Site::new(std::net::SocketAddrV4::new([127, 0, 0, 1].into(), 80), &Manner::default()))
}

struct Seen {
    client: Client,
    out: Out,
    messages: Vec<String>,
}

impl Seen {
    fn new() -> Self {
        Self::with_auth("")
    }

    fn with_auth(auth: &str) -> Self {
        let mut first = Vec::new();
        let auth = auth.as_bytes().to_vec();
        let client = Client::start(Transport::WebSocket, &site(), auth, &mut first);
        assert!(first.starts_with(b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"));
        Self { client, out: Out::default(), messages: Vec::new() }
    }

    fn joined() -> Self {
        let mut seen = Self::new();
        seen.feed(HEAD).unwrap();
        seen.feed(&text(OPEN)).unwrap();
        seen.feed(&text(r#"40{"sid":"b"}"#)).unwrap();
        seen.out.bytes.clear();
        seen.messages.clear();
        seen
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<(), Loss> {
        let messages = &mut self.messages;
        self.client.handle_bytes(bytes, &mut self.out, &mut |message, _out| {
            messages.push(match message {
                Message::Ack { id, args } => format!("ack {id} {}", String::from_utf8_lossy(args)),
                Message::Early(array) => format!("early {}", String::from_utf8_lossy(array)),
                Message::Event(array) => format!("event {}", String::from_utf8_lossy(array)),
                Message::Joined(_) => "joined".to_owned(),
                Message::Ping => "ping".to_owned(),
            });
        })
    }
}

#[test]
fn joined_counts_only_after_the_namespace_answered() {
    let mut seen = Seen::new();
    for (bytes, phase) in [
        (HEAD.to_vec(), Phase::Opening),
        (text(OPEN), Phase::Joining),
        (text(r#"40{"sid":"b"}"#), Phase::Joined),
    ] {
        assert!(seen.messages.is_empty(), "not joined before the last answer");
        seen.feed(&bytes).unwrap();
        assert_eq!(seen.client.phase(), phase);
    }
    assert_eq!(seen.messages, ["joined"]);
    assert_eq!(written(&seen.out.bytes), ["40"]);
    assert_eq!(seen.client.silence_ms_max(), 45_000);
}

#[test]
fn any_cut_of_the_stream_gives_the_same_messages() {
    let stream = [
        HEAD.to_vec(),
        text(OPEN),
        text(r#"40{"sid":"b"}"#),
        text("2"),
        text(r#"42["b","0:1:x"]"#),
        frame(0x01, br#"43"#),
        frame(0x00, br#"7["#),
        frame(0x89, b"hb"),
        frame(0x80, br#""x"]"#),
    ]
    .concat();
    for chunk in 1..stream.len() {
        let mut seen = Seen::new();
        for bytes in stream.chunks(chunk) {
            seen.feed(bytes).unwrap();
        }
        let expected = ["joined", "ping", r#"event ["b","0:1:x"]"#, r#"ack 7 ["x"]"#];
        assert_eq!(seen.messages, expected, "chunks of {chunk}");
        assert_eq!(written(&seen.out.bytes), ["40", "3", "hb"], "chunks of {chunk}");
        assert_eq!(seen.client.partial.capacity(), 0, "nothing is kept when nothing is partial");
    }
}

#[test]
fn the_connect_packet_carries_what_it_is_given() {
    let mut seen = Seen::with_auth(r#"{"pid":"p","offset":"o"}"#);
    seen.feed(HEAD).unwrap();
    seen.feed(&text(OPEN)).unwrap();
    assert_eq!(written(&seen.out.bytes), [r#"40{"pid":"p","offset":"o"}"#]);
    seen.feed(&text(r#"40{"sid":"b"}"#)).unwrap();
    assert!(seen.client.rare.is_none(), "a joined client keeps nothing of it");
}

#[test]
fn losses_are_named() {
    for (bytes, loss) in [
        (text("1"), Loss::EngineClose),
        (text("41"), Loss::SocketDisconnect),
        (text("44{}"), Loss::NamespaceRefused),
        (text("nonsense"), Loss::Protocol),
        (text(OPEN), Loss::Protocol),
        (frame(0x80, b"x"), Loss::Protocol),
        (frame(0x88, &[0x03, 0xe8]), Loss::WebSocketClose(1000)),
        (frame(0x88, b""), Loss::WebSocketClose(1005)),
        (vec![0x81, 0x80], Loss::Protocol),
    ] {
        assert_eq!(Seen::joined().feed(&bytes), Err(loss));
    }
}

#[test]
fn an_http_answer_that_is_no_upgrade_is_told() {
    for (answer, loss) in [
        (&b"HTTP/1.1 503 Service Unavailable\r\n\r\n"[..], Loss::Http(503)),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n{}", Loss::Http(400)),
        (b"nonsense\r\n\r\n", Loss::Protocol),
        (&[b'x'; (16 << 10) + 1], Loss::Protocol),
    ] {
        assert_eq!(Seen::new().feed(answer), Err(loss));
    }
}

#[test]
fn emit_writes_one_event() {
    let mut out = Out::default();
    out.emit(None, &[b"\"who\""]);
    out.emit(Some(12), &[b"\"echo\",\"", b"0:1:", b"xx", b"\""]);
    assert_eq!(written(&out.bytes), [r#"42["who"]"#, r#"4212["echo","0:1:xx"]"#]);
}

#[test]
fn a_client_is_small() {
    assert!(core::mem::size_of::<Client>() <= 48);
}

#[test]
fn events_may_come_before_the_answer_of_the_namespace() {
    let mut seen = Seen::new();
    for bytes in [HEAD.to_vec(), text(OPEN), text(r#"42["b","1"]"#), text(r#"40{"sid":"b"}"#)] {
        seen.feed(&bytes).unwrap();
    }
    assert_eq!(seen.messages, [r#"early ["b","1"]"#, "joined"]);
}
