use super::*;
use crate::client::Client;
use crate::manner::Manner;
use crate::session::Phase;
use crate::transport::Transport;

const OPEN: &str =
    r#"0{"sid":"a","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000}"#;
const SWITCHED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";

fn answer(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn text(payload: &str) -> Vec<u8> {
    [&[0x81, payload.len() as u8][..], payload.as_bytes()].concat()
}

struct Pair {
    client: Client,
    messages: Vec<String>,
}

impl Pair {
    fn new(transport: Transport) -> Self {
        let site = Rc::new(Site::new(
            std::net::SocketAddrV4::new([127, 0, 0, 1].into(), 80),
            &Manner { path: "/s/".into(), ..Manner::default() },
        ));
        let mut out = Vec::new();
        let client = Client::start(transport, &site, Vec::new(), &mut out);
        assert!(out.starts_with(b"GET /s/?EIO=4&transport=polling HTTP/1.1\r\n"));
        Self { client, messages: Vec::new() }
    }

    fn joined(transport: Transport) -> Self {
        let mut pair = Self::new(transport);
        pair.polled(OPEN).unwrap();
        assert_eq!(pair.posted(), "40");
        pair.polling().handle_post(&answer("ok")).unwrap();
        pair.polled(r#"40{"sid":"b"}"#).unwrap();
        assert_eq!(pair.client.phase(), Phase::Joined);
        pair
    }

    fn polling(&mut self) -> &mut Polling {
        self.client.polling().expect("the client still polls")
    }

    /// The poll that is under way is answered.
    fn polled(&mut self, body: &str) -> Result<(), Loss> {
        let messages = &mut self.messages;
        self.client.handle_bytes(&answer(body), &mut Out::default(), &mut |message, _out| {
            messages.push(format!("{message:?}"));
        })
    }

    /// The body of the POST that has begun, if one has.
    fn posted(&mut self) -> String {
        let bytes = String::from_utf8(self.polling().post_out()).unwrap();
        bytes.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned())
    }

    fn polls(&mut self) -> bool {
        self.polling().poll_out().starts_with(b"GET /s/?EIO=4&transport=polling&sid=a ")
    }

    fn probed(&mut self) {
        assert!(self.polling().take_probe(), "the session is open");
        self.polls();
        let head = String::from_utf8(self.polling().probe_out()).unwrap();
        assert!(head.starts_with("GET /s/?EIO=4&transport=websocket&sid=a "), "{head}");
        self.polling().handle_probe(SWITCHED).unwrap();
        assert!(!self.polling().probe_out().is_empty(), "the probe packet");
        self.polling().handle_probe(&text("3probe")).unwrap();
    }
}

#[test]
fn one_poll_and_one_post_at_a_time() {
    let mut pair = Pair::joined(Transport::Polling);
    assert!(pair.polls(), "the next poll is under way");
    assert!(!pair.polling().take_probe(), "no upgrade is wanted");
    pair.polling().send(|out| out.packet(&[b"42[1]"]));
    pair.polling().send(|out| out.packet(&[b"42[2]"]));
    pair.polling().send(|out| out.packet(&[b"42[3]"]));
    assert_eq!(pair.posted(), "42[1]");
    pair.polling().handle_post(&answer("ok")).unwrap();
    assert_eq!(pair.posted(), "42[2]\x1e42[3]", "what gathered goes together");
    pair.polled("2\x1e42[\"b\"]").unwrap();
    assert_eq!(pair.messages.len(), 3, "joined, ping, event: {:?}", pair.messages);
    pair.polling().handle_post(&answer("ok")).unwrap();
    assert_eq!(pair.posted(), "3");
}

#[test]
fn the_upgrade_waits_for_poll_and_post_and_takes_what_was_to_be_sent_with_it() {
    let mut pair = Pair::joined(Transport::Upgrade);
    pair.polling().send(|out| out.packet(&[b"42[1]"]));
    assert_eq!(pair.posted(), "42[1]");
    pair.probed();
    pair.polling().send(|out| out.packet(&[b"42[2]"]));
    pair.polled("6").unwrap();
    assert!(!pair.polls() && !pair.polling().is_upgraded(), "a POST is still under way");
    pair.polling().handle_post(&answer("ok")).unwrap();
    assert!(pair.polling().is_upgraded());
    assert_eq!(pair.posted(), "", "it leaves over the WebSocket");
    assert_eq!(pair.polling().probe_out().len(), (2 + 4 + 1) + (2 + 4 + 5), "`5`, then `42[2]`");
    pair.polling().handle_probe(&text("42[9]")).unwrap();
    assert_eq!(pair.client.finish_upgrade(), text("42[9]"));
    assert!(pair.client.polling().is_none());
}

#[test]
fn a_probe_that_fails_leaves_polling_as_it_was() {
    for refused in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"junk\r\n\r\n"] {
        let mut pair = Pair::joined(Transport::Upgrade);
        assert!(pair.polling().take_probe() && pair.polls());
        assert!(pair.polling().handle_probe(refused).is_err());
        pair.polling().probe_failed();
        assert_eq!(pair.polling().probe, Probe::Off);
        pair.polled("42[\"b\"]").unwrap();
        assert!(pair.polls());
    }
}

#[test]
fn a_probe_that_fails_in_the_pause_lets_polling_go_on() {
    let mut pair = Pair::joined(Transport::Upgrade);
    pair.polling().send(|out| out.packet(&[b"42[1]"]));
    pair.probed();
    pair.polled("6").unwrap();
    pair.polling().probe_failed();
    assert!(pair.polls(), "the poll that was not begun begins now");
}

#[test]
fn what_nobody_asked_for_is_an_error() {
    let mut pair = Pair::joined(Transport::Polling);
    let twice = [answer("6"), answer("6")].concat();
    let result = pair.client.handle_bytes(&twice, &mut Out::default(), &mut |_, _| ());
    assert_eq!(result, Err(Loss::Protocol));
    let mut pair = Pair::joined(Transport::Polling);
    assert_eq!(pair.polled("1"), Err(Loss::EngineClose));
}
