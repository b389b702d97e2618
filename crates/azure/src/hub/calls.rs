//! Calls of the REST API: what each one does, over HTTP or over a tunnel.

use std::collections::HashSet;

use bytes::Bytes;
use serde_json::{Value, json};
use trunkline_switchboard::ServerKey;
use trunkline_trunk::SessionNumber;

use super::downlink::Selection;
use super::outbox::{CallId, TunnelId};
use super::{Hub, Now, Output};
use crate::filter::{Connection, Dialect, Filter, Reach};
use crate::group::Group;
use crate::metrics::CallOutcome;
use crate::payload;
use crate::rest::{self, Answer, Operation, PermissionVerb, RestError, To};
use crate::tunnel::{Message, Request, Response};

/// The origin of a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Caller {
    /// Over HTTP.
    Http(CallId),
    /// An app server, over a tunnel.
    Tunnel { server: ServerKey, tunnel: TunnelId, ack_id: u64 },
}

impl Caller {
    /// Microsoft's adapter writes a filter that means something else than OData reads in it.
    const fn dialect(self) -> Dialect {
        match self {
            Self::Http(_) => Dialect::Strict,
            Self::Tunnel { .. } => Dialect::SocketIoAdapter,
        }
    }

    const fn via(self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Tunnel { .. } => "tunnel",
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
            Message::Response(response) => {
                let pending = self.servers.get_mut(server);
                let pending = pending.and_then(|server| server.end(now.at, response.ack_id));
                if let Some(pending) = pending {
                    self.event_answered(pending, &response);
                }
            }
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
        match rest::parse(&request.http_method, path, query, request.content) {
            Ok(call) if !call.hub.eq_ignore_ascii_case(&self.settings.name) => {
                self.answer_counted(caller, "unreadable", RestError::HubUnknown.answer());
            }
            Ok(call) => self.perform(caller, call.operation),
            Err(error) => self.answer_counted(caller, "unreadable", error.answer()),
        }
    }

    /// Handles a call over HTTP whose token was valid.
    pub(crate) fn handle_call(&mut self, now: Now, call: CallId, operation: Operation) {
        self.now = now;
        self.perform(Caller::Http(call), operation);
    }

    /// Handles the end of an HTTP caller: it no longer waits, or it did not read the parts of its
    /// answer (`unread`).
    pub(crate) fn handle_caller_lost(&mut self, now: Now, call: CallId, unread: bool) {
        self.now = now;
        if unread {
            self.metrics.answers_dropped.inc();
        }
        self.drop_invokes_of(|caller| caller == Caller::Http(call));
    }

    fn perform(&mut self, caller: Caller, operation: Operation) {
        let label = operation.label();
        match self.try_perform(caller, operation) {
            Ok(Some(answer)) => self.answer_counted(caller, label, answer),
            Ok(None) => self.count_call(caller, label, 200),
            Err(error) => self.answer_counted(caller, label, error.answer()),
        }
    }

    fn answer_counted(&mut self, caller: Caller, operation: &'static str, answer: Answer) {
        self.count_call(caller, operation, answer.status);
        self.answer(caller, answer);
    }

    fn count_call(&self, caller: Caller, operation: &'static str, status: u16) {
        let label = CallOutcome { operation, via: caller.via(), status };
        self.metrics.calls.get_or_create(&label).inc();
    }

    /// Sends an answer, or a part of one.
    pub(super) fn answer(&mut self, caller: Caller, answer: Answer) {
        match caller {
            Caller::Http(call) => self.outbox.push(Output::Answer(call, answer)),
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
    fn try_perform(
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
            Operation::List { group, page, top, skip } => self.list_call(&group, page, top, skip),
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

    fn list_call(&mut self, group: &Group, page: usize, top: Option<usize>, skip: usize) -> Answer {
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

    /// The connections of this door that `to` means.
    fn sessions_of(&mut self, to: &To) -> Vec<SessionNumber> {
        match to {
            To::All => self.registry.connections().map(|connection| connection.session).collect(),
            To::Connection(id) => self.registry.by_id(id).into_iter().collect(),
            To::Group(group) => self.registry.members(group),
            To::User(user) => self.registry.by_user(user),
        }
    }

    fn sessions_in(&mut self, selection: &Selection) -> Vec<SessionNumber> {
        let keys = self.selected(selection);
        keys.iter().filter_map(|key| self.clients.get(key)).map(|client| client.session).collect()
    }

    /// The receivers of a payload.
    fn select(
        &mut self,
        caller: Caller,
        to: &To,
        filter: Option<&str>,
        excluded: &[String],
        payload: &[u8],
    ) -> Result<Selection, RestError> {
        let base = match (to, filter) {
            (To::All, Some(filter)) => self.filtered(caller, filter)?,
            (To::All, None) => self.everybody(payload),
            (To::Group(Group::Room { namespace, room }), None) => Selection::Rooms {
                namespace: namespace.clone(),
                rooms: vec![room.clone()],
                except: Vec::new(),
            },
            (To::Group(_) | To::Connection(_) | To::User(_), None) => {
                Selection::Sessions(self.sessions_of(to))
            }
            (_, Some(filter)) => self.narrowed(caller, to, filter)?,
        };
        Ok(self.without(base, excluded))
    }

    /// All sockets in the namespace that the payload is for: other clients could not use it.
    fn everybody(&mut self, payload: &[u8]) -> Selection {
        let text = std::str::from_utf8(payload).unwrap_or_default();
        let packet =
            text.strip_prefix('4').and_then(|rest| trunkline_socketio::parse_head(rest).ok());
        match packet {
            Some(packet) => Selection::Rooms {
                namespace: packet.nsp.to_owned(),
                rooms: vec![String::new()],
                except: Vec::new(),
            },
            None => Selection::Sessions(self.sessions_of(&To::All)),
        }
    }

    /// Members of a group, or connections of a user, for which a filter is true.
    fn narrowed(&mut self, caller: Caller, to: &To, filter: &str) -> Result<Selection, RestError> {
        let filter = parse_filter(filter, caller.dialect())?;
        if let (To::Group(group), Reach::Groups { any: None, none }) = (to, filter.reach())
            && let Some((namespace, except)) = one_namespace(none)
            && let Group::Room { namespace: own, room } = group
            && *own == namespace
        {
            return Ok(Selection::Rooms { namespace, rooms: vec![room.clone()], except });
        }
        let sessions = self.sessions_of(to);
        Ok(Selection::Sessions(self.matching(sessions, &filter)))
    }

    fn filtered(&mut self, caller: Caller, filter: &str) -> Result<Selection, RestError> {
        let filter = parse_filter(filter, caller.dialect())?;
        let sessions = match filter.reach() {
            Reach::Nobody => Vec::new(),
            Reach::Everyone => self.sessions_of(&To::All),
            Reach::Connections(ids) => {
                ids.iter().filter_map(|id| self.registry.by_id(id)).collect()
            }
            Reach::Users(users) => {
                users.iter().flat_map(|user| self.registry.by_user(user)).collect()
            }
            Reach::Groups { any, none } => return Ok(self.in_groups(any, none)),
            Reach::Each => {
                let all = self.sessions_of(&To::All);
                self.matching(all, &filter)
            }
        };
        Ok(Selection::Sessions(sessions))
    }

    fn in_groups(&mut self, any: Option<&[Box<str>]>, none: &[Box<str>]) -> Selection {
        if let Some((namespace, rooms)) = any.and_then(one_namespace) {
            if none.is_empty() {
                return Selection::Rooms { namespace, rooms, except: Vec::new() };
            }
            if let Some((other, except)) = one_namespace(none)
                && other == namespace
            {
                return Selection::Rooms { namespace, rooms, except };
            }
        }
        let denied: HashSet<SessionNumber> = self.members_of(none).into_iter().collect();
        let mut seen = HashSet::new();
        let mut allowed = match any {
            Some(any) => self.members_of(any),
            None => self.sessions_of(&To::All),
        };
        allowed.retain(|session| !denied.contains(session) && seen.insert(*session));
        Selection::Sessions(allowed)
    }

    fn members_of(&mut self, names: &[Box<str>]) -> Vec<SessionNumber> {
        let groups = names.iter().filter_map(|name| Group::parse(name).ok());
        groups.flat_map(|group| self.registry.members(&group)).collect()
    }

    fn matching(&self, mut sessions: Vec<SessionNumber>, filter: &Filter) -> Vec<SessionNumber> {
        sessions.retain(|session| {
            self.registry.connection(*session).is_some_and(|connection| {
                let groups = self.registry.groups_of(*session);
                filter.matches(&Known { connection, groups: &groups })
            })
        });
        sessions
    }

    /// A selection without some connections.
    fn without(&mut self, selection: Selection, excluded: &[String]) -> Selection {
        if excluded.is_empty() {
            return selection;
        }
        let excluded: HashSet<SessionNumber> =
            excluded.iter().filter_map(|id| self.registry.by_id(id)).collect();
        match selection {
            Selection::Rooms { namespace, rooms, mut except } => {
                let sockets = excluded.iter().filter_map(|session| {
                    self.registry.connection(*session)?.sockets.get(namespace.as_str())
                });
                except.extend(sockets.map(|socket| socket.to_string()));
                Selection::Rooms { namespace, rooms, except }
            }
            Selection::Sessions(mut sessions) => {
                sessions.retain(|session| !excluded.contains(session));
                Selection::Sessions(sessions)
            }
        }
    }
}

fn parse_filter(text: &str, dialect: Dialect) -> Result<Filter, RestError> {
    Filter::parse(text, dialect).map_err(|error| RestError::Filter(error.to_string()))
}

/// The rooms of these groups, if all are rooms of one namespace.
fn one_namespace(names: &[Box<str>]) -> Option<(String, Vec<String>)> {
    let mut of = None;
    let mut rooms = Vec::with_capacity(names.len());
    for name in names {
        match Group::parse(name) {
            Ok(Group::Room { namespace, room }) => {
                if *of.get_or_insert_with(|| namespace.clone()) != namespace {
                    return None;
                }
                rooms.push(room);
            }
            Ok(Group::Plain(_)) | Err(_) => return None,
        }
    }
    Some((of?, rooms))
}

/// A connection as filters see it.
struct Known<'a> {
    connection: &'a crate::registry::Connection,
    groups: &'a [String],
}

impl Connection for Known<'_> {
    fn connection_id(&self) -> &str {
        &self.connection.id
    }

    fn user_id(&self) -> Option<&str> {
        self.connection.user.as_deref()
    }

    fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|name| name == group)
    }

    fn group_count(&self) -> usize {
        self.groups.len()
    }

    fn any_group(&self, test: &mut dyn FnMut(&str) -> bool) -> bool {
        self.groups.iter().any(|name| test(name))
    }
}
