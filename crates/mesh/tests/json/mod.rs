//! Frames, beats and datagrams as the JSON of `spec/vectors/mesh.json`.
#![expect(unreachable_pub, reason = "a module that tests share")]
#![expect(clippy::unwrap_used, reason = "a vector that is not as told fails its test")]

use bytes::Bytes;
use serde_json::{Value, json};
use trunkline_mesh::{
    Answer, Beat, Datagram, Frame, Header, Inspected, Lane, NodeState, PayloadType, PostBegun,
    Refused, Sid,
};

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn unhex(text: &str) -> Bytes {
    let digits: Vec<u8> = text.chars().map(|c| c.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn headers(headers: &[Header]) -> Value {
    headers.iter().map(|header| json!({"name": *header.name, "value": *header.value})).collect()
}

fn sid(sid: &Sid) -> Value {
    hex(&sid.0).into()
}

pub fn from_frame(frame: &Frame) -> Value {
    let mut value = fields_of(frame);
    value["type"] = frame.kind().name().into();
    value["id"] = frame.id().0.into();
    value
}

fn fields_of(frame: &Frame) -> Value {
    match frame {
        Frame::Poll { sid: id, hub, protocol, .. }
        | Frame::PostBegin { sid: id, hub, protocol, .. }
        | Frame::Inspect { sid: id, hub, protocol, .. } => {
            json!({"sid": sid(id), "hub": **hub, "protocol": protocol})
        }
        Frame::PollGone { .. }
        | Frame::PollBack { .. }
        | Frame::Cut { .. }
        | Frame::ProbeGone { .. }
        | Frame::Taken { .. }
        | Frame::Arrived { .. } => json!({}),
        Frame::Answered { answer, .. } => json!({"answer": from_answer(answer)}),
        Frame::PostBegun { begun, .. } => json!({"begun": from_begun(begun)}),
        Frame::Post { sid: id, hub, protocol, binary, body, .. } => {
            let body = hex(body);
            json!({"sid": sid(id), "hub": **hub, "protocol": protocol, "binary": binary, "body": body})
        }
        Frame::PostBody { binary, body, .. } => json!({"binary": binary, "body": hex(body)}),
        Frame::PostGone { fault, .. } => json!({"fault": fault.as_deref()}),
        Frame::Inspected { inspected, .. } => json!({"inspected": from_inspected(inspected)}),
        Frame::WhoHas { hub, sid, .. } => json!({"hub": **hub, "sid": **sid}),
        Frame::IHave { sid: id, .. } => json!({"sid": id.as_ref().map(sid)}),
        Frame::ProbeBegun { sid: id, hub, .. } => json!({"sid": sid(id), "hub": **hub}),
        Frame::Take { positions, .. } => {
            let positions = positions.iter();
            let positions = positions.map(|p| json!({"server": *p.server, "number": p.number}));
            json!({"positions": positions.collect::<Value>()})
        }
        Frame::Export { snapshot, .. } => json!({"snapshot": hex(snapshot)}),
        Frame::MoveFailed { cause, .. } => json!({"cause": **cause}),
        Frame::Door { door, hub, word, .. } => {
            json!({"door": door, "hub": **hub, "word": hex(word)})
        }
    }
}

fn from_refused(refused: &Refused) -> Value {
    json!({"is": "refused", "code": refused.code, "context": *refused.context})
}

fn from_answer(answer: &Answer) -> Value {
    match answer {
        Answer::Payload(payload) => json!({
            "is": "payload",
            "binary": payload.content_type == PayloadType::Binary,
            "compress": payload.compress,
            "jsonp": payload.jsonp.as_deref(),
            "lasting": payload.lasting.as_deref().map(headers),
            "first": headers(&payload.first),
            "body": hex(&payload.body),
        }),
        Answer::Ok { lasting } => json!({"is": "ok", "lasting": lasting.as_deref().map(headers)}),
        Answer::Status(status) => json!({"is": "status", "status": status}),
        Answer::Refused(refused) => from_refused(refused),
        Answer::Unavailable(slug) => json!({"is": "unavailable", "slug": **slug}),
        Answer::Abort => json!({"is": "abort"}),
    }
}

fn from_begun(begun: &PostBegun) -> Value {
    match begun {
        PostBegun::Wanted { bytes_max, chunks_max, timeout_ms, jsonp } => json!({
            "is": "wanted",
            "bytes_max": bytes_max,
            "chunks_max": chunks_max,
            "timeout_ms": timeout_ms,
            "jsonp": jsonp,
        }),
        PostBegun::Refused(refused) => from_refused(refused),
        PostBegun::Status(status) => json!({"is": "status", "status": status}),
    }
}

fn from_inspected(inspected: &Inspected) -> Value {
    match inspected {
        Inspected::Found(found) => json!({
            "is": "found",
            "server": *found.server,
            "movable": found.movable,
            "upgrade_timeout_ms": found.upgrade_timeout_ms,
            "base64_only": found.base64_only,
            "settings": hex(&found.settings),
        }),
        Inspected::Refused(refused) => from_refused(refused),
    }
}

pub fn from_beat(beat: &Beat) -> Value {
    json!({
        "incarnation": format!("{:016x}", beat.incarnation),
        "sequence": beat.sequence,
        "numbers": beat.numbers,
        "state": match beat.state {
            NodeState::Joining => "joining",
            NodeState::Up => "up",
            NodeState::Draining => "draining",
            NodeState::Leaving => "leaving",
        },
        "rank": beat.rank,
        "fixed": beat.fixed,
        "own_sids": beat.load.own_sids,
        "whole_posts": beat.load.whole_posts,
        "node_id": beat.node_id,
        "advertise": beat.advertise,
        "version": beat.version,
        "hubs_digest": hex(&beat.hubs_digest),
        "app_servers_digest": hex(&beat.load.app_servers_digest),
        "sessions": beat.load.sessions,
    })
}

pub fn from_datagram(datagram: &Datagram) -> Value {
    let data = datagram.data.as_ref();
    json!({
        "from": format!("{:016x}", datagram.from),
        "to": format!("{:016x}", datagram.to),
        "number": datagram.number,
        "lane": match datagram.lane { Lane::Control => "control", Lane::Bulk => "bulk" },
        "epoch": datagram.epoch,
        "to_epoch": datagram.to_epoch,
        "received": datagram.received,
        "beyond": datagram.beyond,
        "window": datagram.window,
        "urgent": datagram.urgent,
        "data": data.map(|d| json!({"sequence": d.sequence, "payload": hex(&d.payload)})),
        "ended": datagram.ended.map(|code| code.0),
    })
}
