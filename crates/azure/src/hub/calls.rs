//! Calls of the REST API: what each one does, over HTTP or over a tunnel.

use bytes::Bytes;
use serde_json::{Value, json};
use trunkline_mesh::PeerKey;
use trunkline_switchboard::ServerKey;
use trunkline_trunk::SessionNumber;

use super::outbox::{CallId, TunnelId};
use super::scatter::RawCall;
use super::{Hub, Now, Output};
use crate::filter::Dialect;
use crate::group::Group;
use crate::metrics::CallOutcome;
use crate::payload;
use crate::peers::Word;
use crate::rest::{self, Answer, Operation, PermissionVerb, RestError, To};
use crate::tunnel::{Message, Request, Response};

/// The origin of a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Caller {
    /// Over HTTP.
    Http(CallId),
    /// An app server, over a tunnel.
    Tunnel { server: ServerKey, tunnel: TunnelId, ack_id: u64 },
    /// The same hub at another node, in the name of one of its callers.
    Peer { peer: PeerKey, call: u64, adapter: bool },
    /// A call that other nodes perform, too: its parts are gathered.
    Gathered { call: u64, adapter: bool },
}

impl Caller {
    /// Microsoft's adapter writes a filter that means something else than OData reads in it.
    pub(super) const fn dialect(self) -> Dialect {
        match self {
            Self::Http(_)
            | Self::Peer { adapter: false, .. }
            | Self::Gathered { adapter: false, .. } => Dialect::Strict,
            Self::Tunnel { .. }
            | Self::Peer { adapter: true, .. }
            | Self::Gathered { adapter: true, .. } => Dialect::SocketIoAdapter,
        }
    }

    const fn via(self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Tunnel { .. } => "tunnel",
            Self::Peer { .. } | Self::Gathered { .. } => "node",
        }
    }
}

impl Hub {
    /// Handles a message from a tunnel.
    pub(crate) fn handle_tunnel_message(&mut self, now: Now, tunnel: TunnelId, message: Message) {
        self.now = now;
        let Some(server) = self.servers.of_tunnel(tunnel) else { return };
        match message {
            Message::Request(request) => self.tunnel_call(server, tunnel, request),
            Message::Response(response) => self.answered_by(server, &response),
            // Only this side sends the other messages.
            Message::Status { .. }
            | Message::Reconnect { .. }
            | Message::Close { .. }
            | Message::Rebalance { .. }
            | Message::Connected { .. } => (),
        }
    }

    fn tunnel_call(&mut self, server: ServerKey, tunnel: TunnelId, request: Request) {
        let caller = Caller::Tunnel { server, tunnel, ack_id: request.ack_id };
        let after_scheme = request.url.split_once("://").map_or(&*request.url, |(_, rest)| rest);
        let target = after_scheme.find('/').map_or("/", |at| &after_scheme[at..]);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let body = request.content.clone();
        match rest::parse(&request.http_method, path, query, request.content) {
            Ok(call) if !call.hub.eq_ignore_ascii_case(&self.settings.name) => {
                self.answer_counted(caller, "unreadable", RestError::HubUnknown.answer());
            }
            Ok(call) if self.peers.is_alone() => self.perform(caller, call.operation),
            Ok(call) => {
                let raw = RawCall::new(&request.http_method, path, query, body);
                self.perform_everywhere(caller, call.operation, raw);
            }
            Err(error) => self.answer_counted(caller, "unreadable", error.answer()),
        }
    }

    /// Handles a call over HTTP whose token was valid.
    pub(crate) fn handle_call(
        &mut self,
        now: Now,
        call: CallId,
        operation: Operation,
        raw: RawCall,
    ) {
        self.now = now;
        self.perform_everywhere(Caller::Http(call), operation, raw);
    }

    /// Performs a call of another node's caller, for the clients of this node.
    pub(super) fn perform_for(&mut self, caller: Caller, method: &str, target: &str, body: Bytes) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        match rest::parse(method, path, query, body) {
            Ok(call) => self.perform(caller, call.operation),
            Err(error) => self.answer(caller, error.answer()),
        }
    }

    /// Handles the end of an HTTP caller: it no longer waits, or it did not read the parts of its
    /// answer (`unread`).
    pub(crate) fn handle_caller_lost(&mut self, now: Now, call: CallId, unread: bool) {
        self.now = now;
        if unread {
            self.metrics.answers_dropped.inc();
        }
        self.drop_invokes_of(|caller| caller == Caller::Http(call));
        self.gather_unwanted(Caller::Http(call));
    }

    /// Performs a call for the clients of this node.
    pub(super) fn perform(&mut self, caller: Caller, operation: Operation) {
        let label = operation.label();
        match self.try_perform(caller, operation) {
            Ok(Some(answer)) => self.answer_counted(caller, label, answer),
            Ok(None) => self.count_call(caller, label, 200),
            Err(error) => self.answer_counted(caller, label, error.answer()),
        }
    }

    pub(super) fn answer_counted(
        &mut self,
        caller: Caller,
        operation: &'static str,
        answer: Answer,
    ) {
        self.count_call(caller, operation, answer.status);
        self.answer(caller, answer);
    }

    pub(super) fn count_call(&self, caller: Caller, operation: &'static str, status: u16) {
        if let Caller::Peer { .. } | Caller::Gathered { .. } = caller {
            return; // It counts once, where the caller is.
        }
        let label = CallOutcome { operation, via: caller.via(), status };
        self.metrics.calls.get_or_create(&label).inc();
    }

    /// Sends an answer, or a part of one.
    pub(super) fn answer(&mut self, caller: Caller, answer: Answer) {
        match caller {
            Caller::Http(call) => self.outbox.push(Output::Answer(call, answer)),
            Caller::Peer { peer, call, .. } => {
                let Answer { status, more, body, .. } = answer;
                self.say(peer, &Word::CallAnswered { call, more, status, body });
            }
            Caller::Gathered { call, .. } => self.gather_part(call, None, answer),
            Caller::Tunnel { server, tunnel, ack_id } => {
                let headers = answer.headers.into_iter();
                let response = Response {
                    ack_id,
                    local_routing: true,
                    status_code: answer.status,
                    channel_name: Some(String::new()),
                    not_completed: answer.more,
                    headers: Some(
                        headers.map(|(name, value)| (name.to_owned(), vec![value])).collect(),
                    ),
                    content: answer.body,
                };
                self.answer_server(server, Some(tunnel), response);
            }
        }
    }

    /// Performs a call. `None`: the answer has begun already and continues later.
    pub(super) fn try_perform(
        &mut self,
        caller: Caller,
        operation: Operation,
    ) -> Result<Option<Answer>, RestError> {
        Ok(Some(match operation {
            Operation::Send { to, filter, excluded, payload } => {
                self.send_call(caller, &to, filter.as_deref(), &excluded, &payload)?
            }
            Operation::Invoke { filter, payload } => {
                let packets = payload::parse(&payload)?;
                let selection = self.select(caller, &To::All, filter.as_deref(), &[], &payload)?;
                self.invoke(caller, &selection, &packets)?;
                return Ok(None);
            }
            Operation::Close { to, excluded } => self.close_call(&to, &excluded),
            Operation::Exists(to) => {
                Answer::empty(if self.sessions_of(&to).is_empty() { 404 } else { 200 })
            }
            Operation::Regroup { groups, filter, join } => {
                let selection = self.filtered(caller, &filter)?;
                for session in self.sessions_in(&selection) {
                    for group in &groups {
                        self.regroup(session, group, join);
                    }
                }
                Answer::empty(200)
            }
            Operation::Membership { who, group, join } => self.membership_call(&who, &group, join),
            Operation::LeaveAll(who) => {
                for session in self.sessions_of(&who) {
                    self.leave_all(session);
                }
                Answer::empty(204)
            }
            Operation::List { group, page, top, from } => {
                self.list_call(&group, page, top, from.skip)
            }
            Operation::Permission { verb, name, connection, target } => {
                self.permission_call(verb, &name, &connection, target.as_deref())
            }
            // The service around this machine signs tokens: it has the keys and the clock.
            Operation::Token(_) => return Err(RestError::Path),
        }))
    }

    fn send_call(
        &mut self,
        caller: Caller,
        to: &To,
        filter: Option<&str>,
        excluded: &[String],
        payload: &Bytes,
    ) -> Result<Answer, RestError> {
        let packets = payload::parse(payload)?;
        if let To::Connection(id) = to {
            let key = self.registry.by_id(id).and_then(|session| self.by_session.get(&session));
            if let Some(key) = key.copied() {
                self.deliver(key, &packets);
            }
        } else {
            let selection = self.select(caller, to, filter, excluded, payload)?;
            self.deliver_to(&selection, &packets);
        }
        Ok(Answer::empty(202))
    }

    fn close_call(&mut self, to: &To, excluded: &[String]) -> Answer {
        for session in self.sessions_of(to) {
            let Some(connection) = self.registry.connection(session) else { continue };
            if excluded.iter().any(|id| **id == *connection.id) {
                continue;
            }
            if let Some(key) = self.by_session.get(&session).copied() {
                self.close_client(key, "closed by a call of the data plane");
            }
        }
        Answer::empty(204)
    }

    fn membership_call(&mut self, who: &To, group: &Group, join: bool) -> Answer {
        let sessions = self.sessions_of(who);
        let unknown = sessions.is_empty() && matches!(who, To::Connection(_));
        for session in sessions {
            self.regroup(session, group, join);
        }
        Answer::empty(match join {
            true if unknown => 404,
            true => 200,
            false => 204,
        })
    }

    fn leave_all(&mut self, session: SessionNumber) {
        for name in self.registry.groups_of(session) {
            if let Ok(group) = Group::parse(&name) {
                self.regroup(session, &group, false);
            }
        }
    }

    pub(super) fn list_call(
        &mut self,
        group: &Group,
        page: usize,
        top: Option<usize>,
        skip: usize,
    ) -> Answer {
        let members = self.registry.members(group);
        let end = top.map_or(members.len(), |top| top.min(members.len()));
        let shown = members.get(skip.min(end)..end).unwrap_or_default();
        let value: Vec<Value> = shown
            .iter()
            .take(page)
            .filter_map(|session| self.registry.connection(*session))
            .map(|member| match &member.user {
                Some(user) => json!({ "connectionId": member.id, "userId": user }),
                None => json!({ "connectionId": member.id }),
            })
            .collect();
        let more = shown.len() > page;
        // The service around this machine makes a URL of the number: it knows the request.
        let next = more.then(|| skip + page);
        Answer::json(200, &json!({ "value": value, "nextLink": next }))
    }

    fn permission_call(
        &mut self,
        verb: PermissionVerb,
        name: &str,
        connection: &str,
        target: Option<&str>,
    ) -> Answer {
        let session = self.registry.by_id(connection);
        let Some(found) = session.and_then(|session| self.registry.connection_mut(session)) else {
            return Answer::empty(404);
        };
        let permission = (name.into(), target.map(Into::into));
        match verb {
            PermissionVerb::Check => {
                // A permission for all groups includes each group.
                let held = found.permissions.contains(&permission)
                    || found.permissions.contains(&(name.into(), None));
                Answer::empty(if held { 200 } else { 404 })
            }
            PermissionVerb::Grant => {
                found.permissions.insert(permission);
                Answer::empty(200)
            }
            PermissionVerb::Revoke => {
                found.permissions.remove(&permission);
                Answer::empty(204)
            }
        }
    }
}
