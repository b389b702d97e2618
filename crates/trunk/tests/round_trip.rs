//! Any frame survives encoding and decoding, and a valid batch is the only encoding of its frames.

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use trunkline_trunk::encode::{
    AdoptView, AdoptedView, RequestView, encode_adopt, encode_close, encode_credit, encode_drain,
    encode_error, encode_got, encode_message, encode_namespace, encode_open, encode_peers,
    encode_relayed, encode_request, encode_send, encode_upgraded, message_cost,
};
use trunkline_trunk::{
    Adopt, Adopted, Broadcast, BroadcastFlags, ClientRequest, CloseCode, EioVersion, ErrorCode,
    Found, Frame, Header, Hello, ListedNode, NamespaceNumber, NodeState, Open, Operate, Operation,
    Origin, Part, Persist, Position, Reattach, Request, RequestCode, RequestId, Response, Restored,
    RestoredAt, SendFlags, SessionNumber, StandingFlags, State, Str, Transport, Welcome,
    decode_batch,
};

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![any::<u32>(), (0u32..32).prop_map(|bits| 1u32 << bits), 0u32..300]
}

fn session() -> impl Strategy<Value = SessionNumber> {
    number().prop_map(SessionNumber)
}

fn nsp() -> impl Strategy<Value = NamespaceNumber> {
    number().prop_map(NamespaceNumber)
}

fn text() -> impl Strategy<Value = Str> {
    prop_oneof![any::<String>(), "[a-z]{0,300}"].prop_map(Str::from)
}

fn payload() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..300).prop_map(Bytes::from)
}

fn token() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..=16).prop_map(Bytes::from)
}

fn texts() -> impl Strategy<Value = Vec<Str>> {
    vec(text(), 0..5)
}

fn headers() -> impl Strategy<Value = Vec<Header>> {
    vec((text(), text()).prop_map(|(name, value)| Header { name, value }), 0..5)
}

fn transport() -> impl Strategy<Value = Transport> {
    prop_oneof![Just(Transport::Polling), Just(Transport::WebSocket)]
}

fn client_request() -> impl Strategy<Value = ClientRequest> {
    let parts =
        (transport(), any::<bool>(), text(), any::<u16>(), text(), text(), headers(), text());
    parts.prop_map(|(transport, secure, address, port, method, url, headers, claims)| {
        ClientRequest { transport, secure, address, port, method, url, headers, claims }
    })
}

fn response() -> impl Strategy<Value = Response> {
    (200u16..1000, headers(), payload()).prop_map(|(status, headers, body)| Response {
        status,
        headers,
        body,
    })
}

fn parts() -> impl Strategy<Value = Vec<Part>> {
    vec((any::<bool>(), payload()).prop_map(|(binary, data)| Part { binary, data }), 0..4)
}

fn request_code() -> impl Strategy<Value = RequestCode> {
    prop_oneof![Just(RequestCode::Preflight), (0u8..=5).prop_map(RequestCode::Error)]
}

fn link_frame() -> impl Strategy<Value = Frame> {
    let hello = (number(), number(), number(), text(), text(), text());
    let welcome = (number(), number(), number(), number(), text());
    prop_oneof![
        hello.prop_map(|(version_min, version_max, credit, server, sdk, settings)| {
            let hello = Hello { version_min, version_max, credit, server, sdk, settings };
            Frame::Hello(Box::new(hello))
        }),
        welcome.prop_map(|(version, credit, ping_interval_ms, batch_bytes_max, info)| {
            Frame::Welcome(Welcome { version, credit, ping_interval_ms, batch_bytes_max, info })
        }),
        (number(), text())
            .prop_map(|(code, message)| Frame::Error { code: ErrorCode::from_wire(code), message }),
        token().prop_map(|token| Frame::Ping { token }),
        token().prop_map(|token| Frame::Pong { token }),
        number().prop_map(|bytes| Frame::Credit { bytes }),
        number().prop_map(|deadline_ms| Frame::Drain { deadline_ms }),
        text().prop_map(|settings| Frame::Settings { settings }),
        (nsp(), text()).prop_map(|(nsp, name)| Frame::Namespace { nsp, name }),
        nsp().prop_map(|nsp| Frame::Release { nsp }),
        (number(), response())
            .prop_map(|(id, response)| Frame::Response { request_id: RequestId(id), response }),
        (number(), request_code(), text(), client_request()).prop_map(
            |(id, code, context, request)| {
                let request_id = RequestId(id);
                Frame::Request(Box::new(Request { request_id, code, context, request }))
            }
        ),
        broadcast().prop_map(Frame::Broadcast),
    ]
}

fn broadcast() -> impl Strategy<Value = Broadcast> {
    let flags = (0u8..16).prop_filter_map("bit 2 has no meaning", BroadcastFlags::from_wire);
    (nsp(), flags, texts(), texts(), parts()).prop_map(|(nsp, flags, rooms, except, parts)| {
        Broadcast { nsp, flags, rooms, except, parts }
    })
}

fn relay_frame() -> impl Strategy<Value = Frame> {
    let restored = (number(), any::<bool>(), text(), texts(), payload(), vec(parts(), 0..4))
        .prop_map(|(id, found, socket, rooms, data, missed)| {
            let request_id = RequestId(id);
            Frame::Restored(Box::new(Restored { request_id, found, socket, rooms, data, missed }))
        });
    prop_oneof![
        (text(), broadcast()).prop_map(|(offset, broadcast)| Frame::Recorded { offset, broadcast }),
        texts().prop_map(|servers| Frame::Peers { servers }),
        (texts(), payload()).prop_map(|(to, payload)| Frame::Relay { to, payload }),
        (text(), payload()).prop_map(|(from, payload)| Frame::Relayed { from, payload }),
        (number(), nsp(), text(), text()).prop_map(|(id, nsp, pid, offset)| {
            Frame::Restore { request_id: RequestId(id), nsp, pid, offset }
        }),
        restored,
        any::<u64>().prop_map(|next| Frame::Number { next }),
        restored_at(),
        (number(), any::<bool>())
            .prop_map(|(id, holds)| { Frame::Proved { request_id: RequestId(id), holds } }),
        (nsp(), text()).prop_map(|(nsp, pid)| Frame::GiveBack { nsp, pid }),
        (number(), text(), text()).prop_map(|(id, name, arguments)| Frame::Call {
            request_id: RequestId(id),
            name,
            arguments
        }),
        (number(), any::<bool>(), text()).prop_map(|(id, done, answer)| Frame::Called {
            request_id: RequestId(id),
            done,
            answer
        }),
        (number(), number()).prop_map(|(begun, done)| Frame::Handled { begun, done }),
        number().prop_map(|batches| Frame::Got { batches }),
        any::<bool>().prop_map(|waiting| Frame::Unhomed { waiting }),
        operate(),
    ]
}

fn operate() -> impl Strategy<Value = Frame> {
    let op = (1..=4u8).prop_map(|op| Operation::from_wire(op).expect("one of four"));
    (text(), op, texts(), texts(), texts()).prop_map(|(nsp, op, rooms, except, args)| {
        Frame::Operate(Box::new(Operate { nsp, op, rooms, except, args }))
    })
}

fn cut() -> impl Strategy<Value = Vec<Position>> {
    vec((text(), any::<u64>()).prop_map(|(server, number)| Position { server, number }), 0..4)
}

fn restored_at() -> impl Strategy<Value = Frame> {
    let found = prop_oneof![Just(Found::No), Just(Found::Yes), Just(Found::Taken)];
    let kept = (number(), found, text(), texts(), payload(), vec(parts(), 0..4));
    (kept, text(), text(), cut()).prop_map(|(kept, log, last, cut)| {
        let (id, found, socket, rooms, data, missed) = kept;
        let request_id = RequestId(id);
        Frame::RestoredAt(Box::new(RestoredAt {
            request_id,
            found,
            socket,
            rooms,
            data,
            missed,
            log,
            last,
            cut,
        }))
    })
}

fn adopt() -> impl Strategy<Value = Adopt> {
    let origin = prop_oneof![Just(Origin::Orphan), Just(Origin::HandedOver), Just(Origin::Moved)];
    let socket = (text(), text(), text(), texts(), payload())
        .prop_map(|(nsp, socket, pid, rooms, state)| Adopted { nsp, socket, pid, rooms, state });
    let fields = (session(), text(), transport(), origin, client_request(), vec(socket, 0..4));
    fields.prop_map(|(session, sid, transport, origin, request, sockets)| Adopt {
        session,
        eio: EioVersion::V4,
        sid,
        transport,
        origin,
        request,
        sockets,
    })
}

fn nodes_frame() -> impl Strategy<Value = Frame> {
    let state = prop_oneof![Just(NodeState::Up), Just(NodeState::Draining), Just(NodeState::Left)];
    let node = (text(), number(), text(), state).prop_map(|(id, number, url, state)| ListedNode {
        id,
        number,
        url,
        state,
    });
    prop_oneof![
        vec(node, 0..4).prop_map(|nodes| Frame::Nodes { nodes }),
        (number(), number()).prop_map(|(sessions, lag_ms)| Frame::Load { sessions, lag_ms }),
    ]
}

fn session_frame() -> impl Strategy<Value = Frame> {
    let eio = prop_oneof![Just(EioVersion::V3), Just(EioVersion::V4)];
    let flags = (0u8..16).prop_filter_map("all have a meaning", SendFlags::from_wire);
    // A description can hold 256 characters of 4 bytes.
    let description =
        vec(any::<char>(), 0..=256).prop_map(|chars| chars.iter().collect::<String>());
    prop_oneof![
        (session(), eio, text(), client_request()).prop_map(|(session, eio, sid, request)| {
            Frame::Open(Box::new(Open { session, eio, sid, request }))
        }),
        (session(), text(), headers(), headers()).prop_map(|(session, sid, headers, lasting)| {
            Frame::Accept { session, sid, headers, lasting }
        }),
        (session(), response()).prop_map(|(session, response)| Frame::Reject { session, response }),
        (session(), any::<bool>(), payload())
            .prop_map(|(session, binary, payload)| Frame::Message { session, binary, payload }),
        (session(), flags, payload()).prop_map(|(session, flags, payload)| Frame::Send {
            session,
            flags,
            payload
        }),
        (session(), any::<u8>(), description).prop_map(|(session, reason, description)| {
            let reason = CloseCode(reason);
            Frame::Close { session, reason, description: description.into() }
        }),
        (session(), transport())
            .prop_map(|(session, transport)| Frame::Upgraded { session, transport }),
        (session(), any::<u32>(), any::<bool>()).prop_map(|(session, mark, now)| Frame::Mark {
            session,
            mark,
            now
        }),
        (session(), any::<u32>(), any::<u32>()).prop_map(|(session, mark, waiting_bytes)| {
            Frame::Marked { session, mark, waiting_bytes }
        }),
        (session(), nsp(), text(), texts()).prop_map(|(session, nsp, socket, rooms)| {
            Frame::Attach { session, nsp, socket, rooms }
        }),
        (session(), nsp(), text(), texts()).prop_map(|(session, nsp, socket, rooms)| {
            Frame::Beside { session, nsp, socket, rooms }
        }),
        (session(), nsp(), text()).prop_map(|(session, nsp, socket)| Frame::Choose {
            session,
            nsp,
            socket
        }),
        (session(), nsp()).prop_map(|(session, nsp)| Frame::Detach { session, nsp }),
        (session(), nsp(), texts()).prop_map(|(session, nsp, rooms)| Frame::Join {
            session,
            nsp,
            rooms
        }),
        (session(), nsp(), texts()).prop_map(|(session, nsp, rooms)| Frame::Leave {
            session,
            nsp,
            rooms
        }),
        (session(), nsp(), text(), text(), texts(), payload()).prop_map(
            |(session, nsp, pid, socket, rooms, data)| {
                Frame::Persist(Box::new(Persist { session, nsp, pid, socket, rooms, data }))
            }
        ),
        ((session(), nsp(), text(), texts()), text(), text(), text(), cut()).prop_map(
            |((session, nsp, socket, rooms), pid, log, last, cut)| {
                Frame::Reattach(Box::new(Reattach {
                    session,
                    nsp,
                    socket,
                    rooms,
                    pid,
                    log,
                    last,
                    cut,
                }))
            }
        ),
        adopt().prop_map(|adopt| Frame::Adopt(Box::new(adopt))),
        (session(), nsp(), text(), text(), payload()).prop_map(
            |(session, nsp, socket, pid, state)| {
                Frame::State(Box::new(State { session, nsp, socket, pid, state }))
            }
        ),
        (session(), any::<[bool; 3]>()).prop_map(|(session, [owes, inside_packet, leaves])| {
            Frame::Standing { session, flags: StandingFlags { owes, inside_packet, leaves } }
        }),
        (session(), number(), cut()).prop_map(|(session, id, cut)| Frame::Prove {
            session,
            request_id: RequestId(id),
            cut,
        }),
    ]
}

fn frame() -> impl Strategy<Value = Frame> {
    prop_oneof![link_frame(), session_frame(), relay_frame(), nodes_frame()]
}

fn encoded(frames: &[Frame]) -> Bytes {
    let mut out = BytesMut::new();
    frames.iter().for_each(|frame| frame.encode(&mut out));
    out.freeze()
}

fn view_of(
    request: &ClientRequest,
) -> RequestView<'_, impl IntoIterator<Item = (&str, &str)> + Clone> {
    RequestView {
        transport: request.transport,
        secure: request.secure,
        address: &request.address,
        port: request.port,
        method: &request.method,
        url: &request.url,
        headers: request.headers.iter().map(|header| (&*header.name, &*header.value)),
        claims: &request.claims,
    }
}

/// The frame, encoded by the function that takes its bare fields, if there is one.
fn encoded_from_fields(frame: &Frame) -> Option<BytesMut> {
    let mut out = BytesMut::new();
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others have no function of their own")]
    match frame {
        Frame::Message { session, binary, payload } => {
            encode_message(&mut out, *session, *binary, payload);
        }
        Frame::Send { session, flags, payload } => encode_send(&mut out, *session, *flags, payload),
        Frame::Close { session, reason, description } => {
            encode_close(&mut out, *session, *reason, description);
        }
        Frame::Upgraded { session, transport } => encode_upgraded(&mut out, *session, *transport),
        Frame::Credit { bytes } => encode_credit(&mut out, *bytes),
        Frame::Drain { deadline_ms } => encode_drain(&mut out, *deadline_ms),
        Frame::Error { code, message } => encode_error(&mut out, *code, message),
        Frame::Namespace { nsp, name } => encode_namespace(&mut out, *nsp, name),
        Frame::Peers { servers } => encode_peers(&mut out, servers.iter().map(Str::as_str)),
        Frame::Relayed { from, payload } => encode_relayed(&mut out, from, payload),
        Frame::Open(open) => {
            encode_open(&mut out, open.session, open.eio, &open.sid, &view_of(&open.request));
        }
        Frame::Got { batches } => encode_got(&mut out, *batches),
        Frame::Adopt(adopt) => {
            let Adopt { session, eio, sid, transport, origin, request, sockets } = &**adopt;
            let view = AdoptView {
                session: *session,
                eio: *eio,
                sid,
                transport: *transport,
                origin: *origin,
            };
            let sockets = sockets.iter().map(|socket| AdoptedView {
                nsp: &socket.nsp,
                socket: &socket.socket,
                pid: &socket.pid,
                rooms: &socket.rooms,
                state: &socket.state,
            });
            encode_adopt(&mut out, &view, &view_of(request), sockets);
        }
        Frame::Request(request) => {
            let view = view_of(&request.request);
            encode_request(&mut out, request.request_id, request.code, &request.context, &view);
        }
        _ => return None,
    }
    Some(out)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_frames_round_trip(frames in vec(frame(), 0..6)) {
        let decoded: Result<Vec<_>, _> = decode_batch(encoded(&frames)).collect();
        prop_assert_eq!(decoded, Ok(frames));
    }

    #[test]
    fn lengths_and_costs_are_those_of_the_bytes(frame in frame()) {
        let bytes = encoded(core::slice::from_ref(&frame));
        prop_assert_eq!(frame.encoded_length(), bytes.len());
        if let Frame::Message { session, payload, .. } = &frame {
            prop_assert_eq!(frame.data_cost(), Some(message_cost(*session, payload.len())));
        }
    }

    #[test]
    fn the_functions_for_bare_fields_write_the_same(frame in frame()) {
        if let Some(bytes) = encoded_from_fields(&frame) {
            prop_assert_eq!(bytes.freeze(), encoded(&[frame]));
        }
    }

    #[test]
    fn a_batch_that_is_cut_off_or_bent_never_panics_and_yields_what_it_says(
        frames in vec(frame(), 1..4),
        cut in any::<prop::sample::Index>(),
        bent in any::<(prop::sample::Index, u8)>(),
    ) {
        let mut bytes = BytesMut::from(&encoded(&frames)[..]);
        let at = bent.0.index(bytes.len());
        bytes[at] ^= bent.1;
        bytes.truncate(cut.index(bytes.len()) + 1);
        let results: Vec<_> = decode_batch(bytes.freeze()).collect();
        let errors = results.iter().filter(|result| result.is_err()).count();
        prop_assert!(errors == 0 || (errors == 1 && results.last().unwrap().is_err()));
    }
}

#[test]
fn a_description_that_is_too_long_is_cut_between_characters() {
    let long = format!("x{}", "é".repeat(600));
    let mut out = BytesMut::new();
    encode_close(&mut out, SessionNumber(1), CloseCode(2), &long);
    let Some(Ok(Frame::Close { description, .. })) = decode_batch(out.freeze()).next() else {
        panic!("not a Close")
    };
    assert_eq!(description.len(), 1023);
    assert!(long.starts_with(&*description));
}
