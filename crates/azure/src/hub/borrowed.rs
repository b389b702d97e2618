//! Tunnels that end at other nodes, which serve clients here; and events of other nodes' clients,
//! which go over tunnels that end here.

use bytes::Bytes;
use trunkline_mesh::PeerKey;
use trunkline_switchboard::ServerKey;

use super::outbox::TunnelId;
use super::{Hub, Now, Output};
use crate::peers::{NAME_BYTES_MAX, Word};
use crate::tunnel::{self, Message, Request, decode, encode};

/// An event of another node's client that an app server here has not answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lent {
    pub(super) peer: PeerKey,
    /// The number that the event has there.
    pub(super) number: u64,
    pub(super) tunnel: TunnelId,
}

impl Hub {
    /// Sends an event to an app server, wherever the tunnel ends.
    pub(super) fn tell_event(&mut self, tunnel: TunnelId, request: Request, wanted: bool) {
        let request = encode(&Message::Request(request));
        match self.servers.home_of(tunnel) {
            None => self.outbox.push(Output::Message(tunnel, request)),
            Some((peer, tunnel)) => {
                self.say(peer, &Word::Event { tunnel, wanted, request });
            }
        }
    }

    /// Sends a message to an app server, wherever the tunnel ends.
    pub(super) fn tell(&mut self, tunnel: TunnelId, message: Bytes) {
        match self.servers.home_of(tunnel) {
            None => self.outbox.push(Output::Message(tunnel, message)),
            Some((peer, tunnel)) => {
                self.say(peer, &Word::Message { tunnel, message });
            }
        }
    }

    /// A tunnel that ends at another node can be used from now on.
    pub(super) fn borrow_tunnel(&mut self, peer: PeerKey, number: u64, server: &str) {
        let tunnel = self.peers.new_tunnel();
        let Some(node) = self.peers.get_mut(peer) else { return };
        if let Some(former) = node.tunnels.insert(number, tunnel) {
            self.handle_tunnel_down(self.now, former, false);
        }
        self.add_tunnel(tunnel, server, Some((peer, number)));
    }

    pub(super) fn return_tunnel(&mut self, peer: PeerKey, number: u64, clean: bool) {
        let tunnel = self.peers.get_mut(peer).and_then(|peer| peer.tunnels.remove(&number));
        if let Some(tunnel) = tunnel {
            self.handle_tunnel_down(self.now, tunnel, clean);
        }
    }

    /// Handles the answer of an app server whose tunnel ends at another node.
    pub(super) fn borrowed_answer(
        &mut self,
        peer: PeerKey,
        number: u64,
        ack_id: u64,
        (status_code, content): (u16, Bytes),
    ) {
        let tunnel = self.peers.get(peer).and_then(|peer| peer.tunnels.get(&number).copied());
        let Some(server) = tunnel.and_then(|tunnel| self.servers.of_tunnel(tunnel)) else { return };
        let response =
            tunnel::Response { ack_id, status_code, content, ..tunnel::Response::default() };
        self.answered_by(server, &response);
    }

    /// Notes an app server's answer to an event.
    pub(super) fn answered_by(&mut self, key: ServerKey, response: &tunnel::Response) {
        let now = self.now.at;
        let Some(server) = self.servers.get_mut(key) else { return };
        if let Some(pending) = server.end(now, response.ack_id) {
            self.event_answered(pending, response);
        } else if let Some(Lent { peer, number, tunnel }) = server.lent.remove(&response.ack_id) {
            let (status, content) = (response.status_code, response.content.clone());
            let tunnel = tunnel.0;
            self.say(peer, &Word::EventAnswered { tunnel, number, status, content });
        }
    }

    /// Sends another node's event over a tunnel that ends here.
    pub(super) fn lend_event(
        &mut self,
        peer: PeerKey,
        tunnel: TunnelId,
        wanted: bool,
        request: &Bytes,
    ) {
        // Its end is on the way to that node.
        let Some(key) = self.servers.of_own_tunnel(tunnel) else { return };
        let Ok(Message::Request(mut request)) = decode(request) else { return };
        let Some(server) = self.servers.get_mut(key) else { return };
        let number = request.ack_id;
        request.ack_id = server.take_number();
        if wanted {
            server.lent.insert(request.ack_id, Lent { peer, number, tunnel });
        }
        self.outbox.push(Output::Message(tunnel, encode(&Message::Request(request))));
    }

    pub(super) fn lend_message(&mut self, tunnel: TunnelId, message: Bytes) {
        if self.servers.of_own_tunnel(tunnel).is_some() {
            self.outbox.push(Output::Message(tunnel, message));
        }
    }

    /// Ends a tunnel whose app server answers no events of another node's clients.
    pub(super) fn end_lent(&mut self, tunnel: TunnelId) {
        if self.servers.of_own_tunnel(tunnel).is_some() {
            self.outbox.push(Output::EndTunnel(tunnel, "app_server_silent"));
            self.handle_tunnel_down(self.now, tunnel, false);
        }
    }

    /// Takes all tunnels that end here from the other nodes, because this one stops: what came over them
    /// and has not been passed on is lost.
    pub(crate) fn handle_stop(&mut self, now: Now) {
        self.now = now;
        for (tunnel, _) in self.servers.own_tunnels() {
            self.say_to_all(&Word::TunnelDown { tunnel, clean: false });
        }
    }

    /// Lets the other nodes use a tunnel that ends here.
    pub(super) fn offer_tunnel(&mut self, tunnel: TunnelId, server: &str) {
        if server.len() <= NAME_BYTES_MAX {
            self.say_to_all(&Word::TunnelUp { tunnel: tunnel.0, server: server.into() });
        }
    }
}
