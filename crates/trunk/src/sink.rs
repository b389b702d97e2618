//! Writes the fields of one body. The same walk also measures it.

use bytes::{BufMut, BytesMut};

use crate::encode::RequestView;
use crate::frame::{
    Adopt, Adopted, Broadcast, ClientRequest, Header, Hello, ListedNode, Open, Operate, Part,
    Persist, Position, Reattach, Request, Response, Restored, RestoredAt, State, Welcome,
};
use crate::text::Str;

/// The length as it is written on the wire.
pub(crate) fn body_length(length: usize) -> u32 {
    u32::try_from(length).expect("batch_bytes_max keeps a body far below 4 GiB")
}

/// The length of a varint in bytes: 1 to 5.
pub(crate) const fn varint_length(value: u32) -> usize {
    (38 - (value | 1).leading_zeros() as usize) / 7
}

/// The destination of a body: the same code first measures, then writes.
pub(crate) enum Sink<'a> {
    Measure(usize),
    Write(&'a mut BytesMut),
}

impl Sink<'_> {
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        match self {
            Self::Measure(length) => *length += bytes.len(),
            Self::Write(out) => out.put_slice(bytes),
        }
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.raw(&[value]);
    }

    pub(crate) fn varint(&mut self, mut value: u32) {
        match self {
            Self::Measure(length) => *length += varint_length(value),
            Self::Write(out) => {
                while value >= 0x80 {
                    out.put_u8(value as u8 | 0x80);
                    value >>= 7;
                }
                out.put_u8(value as u8);
            }
        }
    }

    pub(crate) fn length(&mut self, length: usize) {
        self.varint(body_length(length));
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.raw(bytes);
    }

    pub(crate) fn str(&mut self, text: &Str) {
        self.bytes(text.as_bytes());
    }

    pub(crate) fn list<T>(&mut self, items: &[T], item: impl Fn(&mut Self, &T)) {
        self.length(items.len());
        for each in items {
            item(self, each);
        }
    }

    pub(crate) fn header(&mut self, header: &Header) {
        self.str(&header.name);
        self.str(&header.value);
    }

    fn parts(&mut self, parts: &[Part]) {
        self.list(parts, Self::part);
    }

    fn part(&mut self, part: &Part) {
        self.u8(part.binary.into());
        self.bytes(&part.data);
    }

    pub(crate) fn view<'h, H>(&mut self, request: &RequestView<'_, H>)
    where
        H: IntoIterator<Item = (&'h str, &'h str)> + Clone,
    {
        self.u8(request.transport.to_wire());
        self.u8(request.secure.into());
        self.bytes(request.address.as_bytes());
        self.varint(request.port.into());
        self.bytes(request.method.as_bytes());
        self.bytes(request.url.as_bytes());
        self.length(request.headers.clone().into_iter().count());
        for (name, value) in request.headers.clone() {
            self.bytes(name.as_bytes());
            self.bytes(value.as_bytes());
        }
        self.bytes(request.claims.as_bytes());
    }

    pub(crate) fn client_request(&mut self, request: &ClientRequest) {
        self.u8(request.transport.to_wire());
        self.u8(request.secure.into());
        self.str(&request.address);
        self.varint(request.port.into());
        self.str(&request.method);
        self.str(&request.url);
        self.list(&request.headers, Self::header);
        self.str(&request.claims);
    }

    pub(crate) fn response(&mut self, response: &Response) {
        self.varint(response.status.into());
        self.list(&response.headers, Self::header);
        self.bytes(&response.body);
    }

    pub(crate) fn hello(&mut self, hello: &Hello) {
        self.varint(hello.version_min);
        self.varint(hello.version_max);
        self.varint(hello.credit);
        self.str(&hello.server);
        self.str(&hello.sdk);
        self.str(&hello.settings);
    }

    pub(crate) fn welcome(&mut self, welcome: &Welcome) {
        self.varint(welcome.version);
        self.varint(welcome.credit);
        self.varint(welcome.ping_interval_ms);
        self.varint(welcome.batch_bytes_max);
        self.str(&welcome.info);
    }

    /// Writes the fields after the session.
    pub(crate) fn open(&mut self, open: &Open) {
        self.u8(open.eio.to_wire());
        self.str(&open.sid);
        self.client_request(&open.request);
    }

    /// Writes the fields after the session.
    pub(crate) fn adopt(&mut self, adopt: &Adopt) {
        self.u8(adopt.eio.to_wire());
        self.str(&adopt.sid);
        self.u8(adopt.transport.to_wire());
        self.u8(adopt.origin.to_wire());
        self.client_request(&adopt.request);
        self.list(&adopt.sockets, Self::adopted);
    }

    fn adopted(&mut self, adopted: &Adopted) {
        self.str(&adopted.nsp);
        self.str(&adopted.socket);
        self.str(&adopted.pid);
        self.list(&adopted.rooms, Self::str);
        self.bytes(&adopted.state);
    }

    /// Writes the fields after the session.
    pub(crate) fn state(&mut self, state: &State) {
        self.varint(state.nsp.0);
        self.str(&state.socket);
        self.str(&state.pid);
        self.raw(&state.state);
    }

    pub(crate) fn listed_node(&mut self, node: &ListedNode) {
        self.str(&node.id);
        self.varint(node.number);
        self.str(&node.url);
        self.u8(node.state.to_wire());
    }

    pub(crate) fn operate(&mut self, operate: &Operate) {
        self.str(&operate.nsp);
        self.u8(operate.op.to_wire());
        self.list(&operate.rooms, Self::str);
        self.list(&operate.except, Self::str);
        self.list(&operate.args, Self::str);
    }

    pub(crate) fn request(&mut self, request: &Request) {
        self.varint(request.request_id.0);
        self.u8(request.code.to_wire());
        self.str(&request.context);
        self.client_request(&request.request);
    }

    /// Writes a `Broadcast`, or a `Recorded`, which has an offset in addition.
    pub(crate) fn broadcast(&mut self, broadcast: &Broadcast, offset: Option<&Str>) {
        self.varint(broadcast.nsp.0);
        self.u8(broadcast.flags.to_wire());
        if let Some(offset) = offset {
            self.str(offset);
        }
        self.list(&broadcast.rooms, Self::str);
        self.list(&broadcast.except, Self::str);
        self.parts(&broadcast.parts);
    }

    /// Writes the fields after the session.
    pub(crate) fn persist(&mut self, persist: &Persist) {
        self.varint(persist.nsp.0);
        self.str(&persist.pid);
        self.str(&persist.socket);
        self.list(&persist.rooms, Self::str);
        self.raw(&persist.data);
    }

    /// Writes a number of more than 32 bits: its high half, then its low half.
    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    pub(crate) fn long(&mut self, value: u64) {
        self.varint((value >> 32) as u32);
        self.varint(value as u32);
    }

    pub(crate) fn position(&mut self, position: &Position) {
        self.str(&position.server);
        self.long(position.number);
    }

    /// Writes the fields after the session.
    pub(crate) fn reattach(&mut self, reattach: &Reattach) {
        self.varint(reattach.nsp.0);
        self.str(&reattach.socket);
        self.list(&reattach.rooms, Self::str);
        self.str(&reattach.pid);
        self.str(&reattach.log);
        self.str(&reattach.last);
        self.list(&reattach.cut, Self::position);
    }

    pub(crate) fn restored_at(&mut self, restored: &RestoredAt) {
        self.varint(restored.request_id.0);
        self.u8(restored.found.to_wire());
        self.str(&restored.socket);
        self.list(&restored.rooms, Self::str);
        self.bytes(&restored.data);
        self.list(&restored.missed, |to, parts| to.parts(parts));
        self.str(&restored.log);
        self.str(&restored.last);
        self.list(&restored.cut, Self::position);
    }

    pub(crate) fn restored(&mut self, restored: &Restored) {
        self.varint(restored.request_id.0);
        self.u8(restored.found.into());
        self.str(&restored.socket);
        self.list(&restored.rooms, Self::str);
        self.bytes(&restored.data);
        self.list(&restored.missed, |to, parts| to.parts(parts));
    }
}
