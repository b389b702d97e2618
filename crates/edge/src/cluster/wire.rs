//! Commands and answers of this crate as frames among nodes, and back.

use std::sync::Arc;
use std::time::Duration;

use trunkline_engineio::{ContentType, HandshakeError, Protocol};
use trunkline_mesh::{self as mesh, Header, Str};

use crate::hub::Hub;
use crate::reply::Awaited;
use crate::shard::{
    Answer, Asked, Inspected, POST_FAULTS, Payload, PostBegun, PostBounds, Refusal, SlotKey,
};
use crate::sid::Sid;
use crate::unavailable::Unavailable;

pub(super) fn asked(asked: &Asked, hub: &Hub) -> (mesh::Sid, Str, u8) {
    let protocol = match asked.protocol {
        Protocol::V3 => 3,
        Protocol::V4 => 4,
    };
    (mesh::Sid(asked.sid.to_bytes()), Str::from(hub.name.clone()), protocol)
}

pub(super) fn asked_from(sid: mesh::Sid, hub: &Hub, protocol: u8) -> Asked {
    let protocol = if protocol == 4 { Protocol::V4 } else { Protocol::V3 };
    Asked { sid: Sid::from_bytes(sid.0), protocol, hub: hub.number }
}

pub(super) fn answer(answer: Answer) -> mesh::Answer {
    let headers = |headers: Arc<[Header]>| headers.to_vec();
    match answer {
        Answer::Payload(payload) => {
            let Payload { content_type, body, compress, jsonp, lasting, first, flight } = *payload;
            // From here on the answer is on its way, and the other node counts it.
            drop(flight);
            mesh::Answer::Payload(mesh::AnswerPayload {
                content_type: match content_type {
                    ContentType::Binary => mesh::PayloadType::Binary,
                    ContentType::Text => mesh::PayloadType::Text,
                },
                compress,
                jsonp: jsonp.map(|digits| Str::from(String::from(digits))),
                lasting: lasting.map(headers),
                first,
                body,
            })
        }
        Answer::Ok { lasting } => mesh::Answer::Ok { lasting: lasting.map(headers) },
        Answer::Status(code) => mesh::Answer::Status(code),
        Answer::Refused(refusal) => mesh::Answer::Refused(refused(refusal)),
        Answer::Unavailable(why) => mesh::Answer::Unavailable(Str::from_static(why.slug())),
        // No poll and no post is answered so.
        Answer::Abort | Answer::Relayed(_) | Answer::Switch { .. } => mesh::Answer::Abort,
    }
}

pub(super) fn answer_from(answer: mesh::Answer) -> Answer {
    match answer {
        mesh::Answer::Payload(payload) => {
            let mesh::AnswerPayload { content_type, compress, jsonp, lasting, first, body } =
                payload;
            Answer::Payload(Box::new(Payload {
                content_type: match content_type {
                    mesh::PayloadType::Binary => ContentType::Binary,
                    mesh::PayloadType::Text => ContentType::Text,
                },
                body,
                compress,
                jsonp: jsonp.map(|digits| Box::from(digits.as_str())),
                lasting: lasting.map(Arc::from),
                first,
                flight: None,
            }))
        }
        mesh::Answer::Ok { lasting } => Answer::Ok { lasting: lasting.map(Arc::from) },
        mesh::Answer::Status(code) => Answer::Status(code),
        mesh::Answer::Refused(refused) => Answer::Refused(refusal_from(refused)),
        mesh::Answer::Unavailable(slug) => {
            Answer::Unavailable(Unavailable::of_slug(&slug).unwrap_or(Unavailable::MeshDown))
        }
        mesh::Answer::Abort => Answer::Abort,
    }
}

/// The owner's answer to a post in place of a decision about its body.
pub(super) fn begun_of(answer: Answer) -> PostBegun {
    match answer {
        Answer::Refused(refusal) => PostBegun::Refused(refusal),
        Answer::Status(code) => PostBegun::Status(code),
        Answer::Unavailable(why) => PostBegun::Unavailable(why),
        Answer::Payload(_)
        | Answer::Ok { .. }
        | Answer::Relayed(_)
        | Answer::Switch { .. }
        | Answer::Abort => PostBegun::Unavailable(Unavailable::OwnerLost),
    }
}

/// A decision without a body to wait for, and what a `Wanted` leaves here.
pub(super) fn begun(begun: PostBegun) -> (mesh::PostBegun, Option<(SlotKey, Awaited<()>)>) {
    match begun {
        PostBegun::Wanted { key, bounds, jsonp, cut } => {
            let PostBounds { bytes_max, chunks_max, timeout } = bounds;
            let wanted = mesh::PostBegun::Wanted {
                bytes_max: bytes_max as u64,
                chunks_max: chunks_max as u64,
                timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
                jsonp,
            };
            (wanted, Some((key, cut)))
        }
        PostBegun::Refused(refusal) => (mesh::PostBegun::Refused(refused(refusal)), None),
        PostBegun::Status(code) => (mesh::PostBegun::Status(code), None),
        PostBegun::Unavailable(_) => (mesh::PostBegun::Status(503), None),
    }
}

pub(super) fn begun_from(begun: mesh::PostBegun, key: SlotKey, cut: Awaited<()>) -> PostBegun {
    match begun {
        mesh::PostBegun::Wanted { bytes_max, chunks_max, timeout_ms, jsonp } => {
            let size = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
            let timeout = Duration::from_millis(timeout_ms);
            let bounds =
                PostBounds { bytes_max: size(bytes_max), chunks_max: size(chunks_max), timeout };
            PostBegun::Wanted { key, bounds, jsonp, cut }
        }
        mesh::PostBegun::Refused(refused) => PostBegun::Refused(refusal_from(refused)),
        mesh::PostBegun::Status(code) => PostBegun::Status(code),
    }
}

pub(super) fn inspected(inspected: Result<Inspected, Answer>) -> Option<mesh::Inspected> {
    match inspected {
        Ok(Inspected { owner, movable, .. }) => Some(mesh::Inspected::Found(mesh::Found {
            server: owner.map_or(Str::EMPTY, |owner| Str::from(owner.server_id.clone())),
            movable: u8::from(!movable),
            upgrade_timeout_ms: 0,
            base64_only: false,
            settings: bytes::Bytes::new(),
        })),
        Err(Answer::Refused(refusal)) => Some(mesh::Inspected::Refused(refused(refusal))),
        Err(_) => None,
    }
}

fn refused(Refusal { error, context }: Refusal) -> mesh::Refused {
    mesh::Refused { code: error.code(), context: Str::from(context) }
}

pub(super) fn refusal_from(mesh::Refused { code, context }: mesh::Refused) -> Refusal {
    let all = [
        HandshakeError::BadHandshakeMethod,
        HandshakeError::BadRequest,
        HandshakeError::Forbidden,
        HandshakeError::UnknownSid,
        HandshakeError::UnknownTransport,
        HandshakeError::UnsupportedProtocolVersion,
    ];
    let error = all.into_iter().find(|error| error.code() == code);
    Refusal { error: error.unwrap_or(HandshakeError::BadRequest), context: context.to_string() }
}

/// The description of a broken post. Descriptions are constants, because sessions keep them.
pub(super) fn fault(fault: &str) -> &'static str {
    POST_FAULTS.into_iter().find(|known| *known == fault).unwrap_or(POST_FAULTS[0])
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::reply;

    fn header(name: &str, value: &str) -> Header {
        Header { name: Str::from(name.to_owned()), value: Str::from(value.to_owned()) }
    }

    #[test]
    fn an_answer_of_another_node_is_what_its_shard_gave() {
        let lasting: Arc<[Header]> = Arc::from(vec![header("x-every", "é")]);
        let refusal = || Refusal {
            error: HandshakeError::BadRequest,
            context: r#"{"name":"TRANSPORT_MISMATCH"}"#.into(),
        };
        let payload = |content_type, jsonp: Option<&str>| {
            Answer::Payload(Box::new(Payload {
                content_type,
                body: Bytes::from_static(b"4a"),
                compress: content_type == ContentType::Text,
                jsonp: jsonp.map(Box::from),
                lasting: Some(Arc::clone(&lasting)),
                first: vec![header("set-cookie", "io=1"), header("set-cookie", "b=2")],
                flight: None,
            }))
        };
        let answers = [
            payload(ContentType::Text, None),
            payload(ContentType::Binary, Some("7")),
            Answer::Ok { lasting: None },
            Answer::Ok { lasting: Some(Arc::clone(&lasting)) },
            Answer::Status(413),
            Answer::Refused(refusal()),
            Answer::Unavailable(Unavailable::Draining),
            Answer::Abort,
        ];
        for given in answers {
            let shown = format!("{given:?}");
            assert_eq!(format!("{:?}", answer_from(answer(given))), shown);
        }
        assert!(matches!(answer(Answer::Relayed(no_response())), mesh::Answer::Abort));
    }

    fn no_response() -> trunkline_trunk::Response {
        trunkline_trunk::Response { status: 200, headers: Vec::new(), body: Bytes::new() }
    }

    #[test]
    fn every_reason_for_a_503_and_every_fault_of_a_post_has_a_word_on_the_wire() {
        for why in Unavailable::ALL {
            assert_eq!(Unavailable::of_slug(why.slug()), Some(why));
        }
        assert_eq!(Unavailable::of_slug("from a newer node"), None);
        for known in POST_FAULTS {
            assert_eq!(fault(known), known);
        }
        assert_eq!(fault("from a newer node"), POST_FAULTS[0]);
    }

    #[test]
    fn the_bounds_of_a_post_travel_unchanged() {
        let (_cutter, cut) = reply::pair();
        let bounds = PostBounds {
            bytes_max: 1_000_001,
            chunks_max: 77,
            timeout: Duration::from_millis(12_345),
        };
        let key = SlotKey::here(1, 2, 3);
        let (on_wire, kept) = begun(PostBegun::Wanted { key, bounds, jsonp: true, cut });
        let (kept_key, cut) = kept.expect("the owner keeps its key");
        assert_eq!(kept_key, key);
        let there = SlotKey { elsewhere: true, ..key };
        let PostBegun::Wanted { key, bounds: got, jsonp, .. } = begun_from(on_wire, there, cut)
        else {
            panic!("it is wanted");
        };
        assert!(key == there && jsonp);
        assert_eq!(format!("{got:?}"), format!("{bounds:?}"));
    }
}
