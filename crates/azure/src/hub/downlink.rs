//! Messages from app servers and REST callers to clients.

use bytes::Bytes;
use serde::Deserialize;
use trunkline_socketio::{PacketKind, parse_head};
use trunkline_trunk::{Broadcast, BroadcastFlags, Frame, Part, SendFlags, SessionNumber, Str};

use super::Hub;
use super::client::ClientKey;
use crate::group::{Group, room_text};
use crate::payload::Packet;

/// The receivers of a payload.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Selection {
    /// These connections of this door.
    Sessions(Vec<SessionNumber>),
    /// The sockets in any of the rooms and in none of the others, of this door and of ordinary app
    /// servers.
    Rooms { namespace: String, rooms: Vec<String>, except: Vec<String> },
}

/// The end of a socket that an app server asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Farewell {
    namespace: String,
    /// `None`: the app server has ended the socket already. `Some`: the app server must be
    /// notified; true also closes the connection.
    close: Option<bool>,
}

impl Hub {
    /// Delivers a payload to one connection.
    pub(super) fn deliver(&mut self, key: ClientKey, packets: &[Packet<'_>]) {
        for packet in packets {
            let Some(client) = self.clients.get(&key).filter(|client| client.is_open()) else {
                return;
            };
            let session = client.session;
            match packet {
                Packet::Message(text) => {
                    self.send(session, false, Bytes::copy_from_slice(text.as_bytes()));
                    self.note_sent(session, text);
                }
                Packet::Binary(bytes) => self.send(session, true, bytes.clone()),
                // The node pings clients by itself; the app's side only needs an answer.
                Packet::Ping => self.say_for(key, "3", false),
                Packet::Close => self.close_client(key, ""),
                Packet::Pong | Packet::Noop => (),
            }
        }
    }

    /// Delivers a payload to many.
    pub(super) fn deliver_to(&mut self, selection: &Selection, packets: &[Packet<'_>]) {
        let mut rest = packets;
        while let Some((packet, after)) = rest.split_first() {
            rest = after;
            if let Packet::Message(text) = packet {
                if let Some(farewell) = farewell(text) {
                    self.part(selection, &farewell);
                    continue;
                }
                let attached = after.iter().take_while(|next| matches!(next, Packet::Binary(_)));
                let (attached, after) = after.split_at(attached.count());
                rest = after;
                self.send_to(selection, text, attached);
            } else if let Packet::Close = packet {
                for key in self.selected(selection) {
                    self.close_client(key, "");
                }
            }
        }
    }

    /// Sends one Socket.IO packet to many.
    fn send_to(&mut self, selection: &Selection, text: &str, attached: &[Packet<'_>]) {
        let mut parts = vec![Part { binary: false, data: Bytes::copy_from_slice(text.as_bytes()) }];
        parts.extend(attached.iter().filter_map(|packet| match packet {
            Packet::Binary(data) => Some(Part { binary: true, data: data.clone() }),
            Packet::Message(_) | Packet::Close | Packet::Ping | Packet::Pong | Packet::Noop => None,
        }));
        if let Selection::Rooms { namespace, rooms, except } = selection
            && let Some(nsp) = self.namespace_number(namespace)
        {
            let names = |names: &[String]| names.iter().map(|name| room_text(name)).collect();
            // The empty room is the whole namespace.
            let everybody = rooms.iter().any(String::is_empty);
            self.outbox.frame(Frame::Broadcast(Broadcast {
                nsp,
                flags: BroadcastFlags::default(),
                rooms: if everybody { Vec::new() } else { names(rooms) },
                except: names(except),
                parts,
            }));
            return;
        }
        for key in self.selected(selection) {
            let Some(session) = self.clients.get(&key).map(|client| client.session) else {
                continue;
            };
            for part in &parts {
                self.send(session, part.binary, part.data.clone());
            }
        }
    }

    pub(super) fn send(&mut self, session: SessionNumber, binary: bool, payload: Bytes) {
        let flags = SendFlags { binary, ..SendFlags::default() };
        self.outbox.frame(Frame::Send { session, flags, payload });
    }

    /// The connections of this door that a selection contains.
    pub(super) fn selected(&mut self, selection: &Selection) -> Vec<ClientKey> {
        let sessions = match selection {
            Selection::Sessions(sessions) => sessions.clone(),
            Selection::Rooms { namespace, rooms, except } => {
                let rooms: Vec<&str> = rooms.iter().map(String::as_str).collect();
                let except: Vec<&str> = except.iter().map(String::as_str).collect();
                self.registry.select(namespace, &rooms, &except)
            }
        };
        sessions.iter().filter_map(|session| self.by_session.get(session).copied()).collect()
    }

    /// Notes namespaces that a client enters or leaves: the packets to the client are the only
    /// source of this.
    fn note_sent(&mut self, session: SessionNumber, text: &str) {
        if !matches!(text.as_bytes().first(), Some(b'0' | b'1')) {
            return;
        }
        let Ok(packet) = parse_head(text) else { return };
        if packet.kind == PacketKind::Disconnect {
            self.leave_namespace(session, packet.nsp);
        } else if packet.kind == PacketKind::Connect
            && let Some(socket) = socket_id(packet.data)
        {
            self.enter_namespace(session, packet.nsp, &socket);
        }
    }

    /// Notes that the client has joined a namespace.
    pub(super) fn enter_namespace(
        &mut self,
        session: SessionNumber,
        namespace: &str,
        socket: &str,
    ) {
        let Some(connection) = self.registry.connection_mut(session) else { return };
        connection.sockets.insert(namespace.into(), socket.into());
        let whole = Group::Room { namespace: namespace.to_owned(), room: String::new() };
        self.registry.join(session, &whole);
        let rooms = self.registry.rooms_of(session, namespace);
        let rooms = rooms.iter().filter(|room| !room.is_empty() && *room != socket);
        let rooms = rooms.map(|room| room_text(room)).collect();
        if let Some(nsp) = self.namespace_number(namespace) {
            self.outbox.frame(Frame::Attach { session, nsp, socket: Str::from(socket), rooms });
        }
    }

    /// Adds a connection to a group or removes it, here and in the node.
    pub(super) fn regroup(&mut self, session: SessionNumber, group: &Group, join: bool) {
        let changed = if join {
            self.registry.join(session, group)
        } else {
            self.registry.leave(session, group)
        };
        let Group::Room { namespace, room } = group else { return };
        let socket = self
            .registry
            .connection(session)
            .and_then(|connection| connection.sockets.get(namespace.as_str()));
        // The node does not need to know about a client that has not joined yet, nor about the room
        // of its own id.
        if !changed || room.is_empty() || socket.is_none_or(|own| **own == *room) {
            return;
        }
        let Some(nsp) = self.known_namespace(namespace) else { return };
        let rooms = vec![room_text(room)];
        self.outbox.frame(if join {
            Frame::Join { session, nsp, rooms }
        } else {
            Frame::Leave { session, nsp, rooms }
        });
    }

    /// Ends sockets: each client is notified once, and is then in none of the namespace's groups.
    fn part(&mut self, selection: &Selection, farewell: &Farewell) {
        let packet = match farewell.namespace.as_str() {
            "/" => "1".to_owned(),
            other => format!("1{other},"),
        };
        for key in self.selected(selection) {
            let Some(session) = self.clients.get(&key).map(|client| client.session) else {
                continue;
            };
            self.send(session, false, Bytes::copy_from_slice(packet.as_bytes()));
            self.leave_namespace(session, &farewell.namespace);
            if farewell.close.is_some() {
                self.say_for(key, &format!("4{packet}"), true);
            }
            if farewell.close == Some(true) {
                self.close_client(key, "");
            }
        }
    }
}

/// The socket id in the answer to a connect packet.
fn socket_id(data: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Entered {
        sid: String,
    }
    serde_json::from_str(data).ok().map(|Entered { sid }| sid)
}

/// A disconnect packet, as app servers send it to groups.
fn farewell(text: &str) -> Option<Farewell> {
    #[derive(Deserialize)]
    struct Data {
        #[serde(default)]
        close: bool,
    }
    if !text.starts_with('1') {
        return None;
    }
    let packet = parse_head(text).ok()?;
    let close = match packet.data {
        "" => None,
        data => Some(serde_json::from_str::<Data>(data).ok()?.close),
    };
    Some(Farewell { namespace: packet.nsp.to_owned(), close })
}
