//! Which connections of this node a call is about.

use std::collections::HashSet;

use trunkline_trunk::SessionNumber;

use super::Hub;
use super::calls::Caller;
use super::downlink::Selection;
use crate::filter::{Connection, Dialect, Filter, Reach};
use crate::group::Group;
use crate::rest::{RestError, To};

impl Hub {
    /// The connections of this door that `to` means.
    pub(super) fn sessions_of(&mut self, to: &To) -> Vec<SessionNumber> {
        match to {
            To::All => self.registry.connections().map(|connection| connection.session).collect(),
            To::Connection(id) => self.registry.by_id(id).into_iter().collect(),
            To::Group(group) => self.registry.members(group),
            To::User(user) => self.registry.by_user(user),
        }
    }

    pub(super) fn sessions_in(&mut self, selection: &Selection) -> Vec<SessionNumber> {
        let keys = self.selected(selection);
        keys.iter().filter_map(|key| self.clients.get(key)).map(|client| client.session).collect()
    }

    /// The receivers of a payload.
    pub(super) fn select(
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

    pub(super) fn filtered(
        &mut self,
        caller: Caller,
        filter: &str,
    ) -> Result<Selection, RestError> {
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

pub(super) fn parse_filter(text: &str, dialect: Dialect) -> Result<Filter, RestError> {
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
