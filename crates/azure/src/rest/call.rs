//! Parses method, path, query and body into an operation.

use bytes::Bytes;
use serde::Deserialize;

use super::RestError;
use crate::group::Group;

/// The most connections on one page of a list.
const PAGE_MAX: usize = 200;
/// The longest time that a message may wait, in seconds.
const MESSAGE_TTL_S_MAX: u32 = 300;

/// One REST call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    /// The hub's name, as in the path.
    pub(crate) hub: String,
    pub(crate) operation: Operation,
}

/// The target of an operation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum To {
    All,
    Connection(String),
    Group(Group),
    User(String),
}

/// The operations of the REST API.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operation {
    /// Sends a payload.
    Send { to: To, filter: Option<String>, excluded: Vec<String>, payload: Bytes },
    /// Sends an event and streams back the acknowledgements.
    Invoke { filter: Option<String>, payload: Bytes },
    /// Closes connections.
    Close { to: To, excluded: Vec<String> },
    /// Asks whether the target exists.
    Exists(To),
    /// Adds the connections that a filter selects to groups, or removes them.
    Regroup { groups: Vec<Group>, filter: String, join: bool },
    /// Adds one connection or user to a group, or removes it.
    Membership { who: To, group: Group, join: bool },
    /// Removes a connection or user from all groups.
    LeaveAll(To),
    /// Lists the members of a group: `page` at most.
    List { group: Group, page: usize, top: Option<usize>, from: Place },
    /// Reads or changes a permission of a connection.
    Permission { verb: PermissionVerb, name: String, connection: String, target: Option<String> },
    /// Makes a token for a client.
    Token(TokenWish),
}

/// Where a page of a list begins.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Place {
    /// The members of a node that earlier pages had.
    pub(crate) skip: usize,
    /// The node's number, and the members of all nodes that earlier pages had.
    pub(crate) node: Option<(u16, usize)>,
}

impl Place {
    fn parse(token: &str) -> Option<Self> {
        let mut parts = token.split('.').map(str::parse::<u32>);
        let first = parts.next()?.ok()?;
        let Some(skip) = parts.next() else {
            return Some(Self { skip: first as usize, node: None });
        };
        let (node, skip) = (u16::try_from(first).ok()?, skip.ok()? as usize);
        let before = parts.next()?.ok()? as usize;
        parts.next().is_none().then_some(Self { skip, node: Some((node, before)) })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.node {
            None => write!(out, "{}", self.skip),
            Some((node, before)) => write!(out, "{node}.{}.{before}", self.skip),
        }
    }
}

/// What a call does with a permission.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum PermissionVerb {
    Check,
    Grant,
    Revoke,
}

/// The contents of the token that the caller asks for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct TokenWish {
    pub(crate) user: Option<String>,
    pub(crate) roles: Vec<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) minutes: u64,
}

impl Operation {
    /// A metric label.
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::Send { to: To::All, .. } => "send_to_all",
            Self::Send { to: To::Connection(_), .. } => "send_to_connection",
            Self::Send { to: To::Group(_), .. } => "send_to_group",
            Self::Send { to: To::User(_), .. } => "send_to_user",
            Self::Invoke { .. } => "invoke",
            Self::Close { .. } => "close",
            Self::Exists(_) => "exists",
            Self::Regroup { join: true, .. } => "add_to_groups",
            Self::Regroup { join: false, .. } => "remove_from_groups",
            Self::Membership { join: true, .. } => "add_to_group",
            Self::Membership { join: false, .. } => "remove_from_group",
            Self::LeaveAll(_) => "remove_from_all_groups",
            Self::List { .. } => "list",
            Self::Permission { .. } => "permission",
            Self::Token(_) => "generate_token",
        }
    }
}

/// Query parameters, decoded.
struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn parse(query: &str) -> Self {
        let decoded = form_urlencoded::parse(query.as_bytes());
        Self(decoded.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    fn one(&self, wanted: &str) -> Option<&str> {
        let found = self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.as_str())
    }

    fn all(&self, wanted: &str) -> Vec<String> {
        let found = self.0.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.clone()).collect()
    }

    fn number(&self, wanted: &str, wrong: &'static str) -> Result<Option<u32>, RestError> {
        let read = |text: &str| text.parse().map_err(|_| RestError::Parameter(wrong));
        self.one(wanted).map(read).transpose()
    }
}

/// Parses one call. `path` and `query` are as they came.
pub(crate) fn parse(method: &str, path: &str, query: &str, body: Bytes) -> Result<Call, RestError> {
    let decoded: Vec<String> = path
        .trim_matches('/')
        .split('/')
        .map(|part| {
            let decoded = percent_encoding::percent_decode_str(part).decode_utf8();
            decoded.map(std::borrow::Cow::into_owned).map_err(|_| RestError::Path)
        })
        .collect::<Result<_, _>>()?;
    let parts: Vec<&str> = decoded.iter().map(String::as_str).collect();
    let [api, hubs, hub, rest @ ..] = &parts[..] else { return Err(RestError::Path) };
    if !api.eq_ignore_ascii_case("api") || !hubs.eq_ignore_ascii_case("hubs") {
        return Err(RestError::Path);
    }
    let asked = Asked { method, parameters: Parameters::parse(query), body };
    Ok(Call { hub: (*hub).to_owned(), operation: asked.operation(rest)? })
}

struct Asked<'a> {
    method: &'a str,
    parameters: Parameters,
    body: Bytes,
}

impl Asked<'_> {
    fn operation(self, path: &[&str]) -> Result<Operation, RestError> {
        match *path {
            [":send"] => self.send(To::All),
            [":invoke"] => {
                self.only("POST")?;
                let filter = self.parameters.one("filter").map(str::to_owned);
                Ok(Operation::Invoke { filter, payload: self.body })
            }
            [":closeConnections"] => self.close(To::All),
            [":addToGroups"] => self.regroup(true),
            [":removeFromGroups"] => self.regroup(false),
            [":generateToken"] => self.token(),
            ["connections", id] => self.connection(id),
            ["connections", id, ":send"] => self.send(To::Connection(id.to_owned())),
            ["connections", id, "groups"] => self.leave_all(To::Connection(id.to_owned())),
            ["groups", name] => self.exists(To::Group(Group::parse(name)?)),
            ["groups", name, ":send"] => self.send(To::Group(Group::parse(name)?)),
            ["groups", name, ":closeConnections"] => self.close(To::Group(Group::parse(name)?)),
            ["groups", name, "connections"] => self.list(Group::parse(name)?),
            ["groups", name, "connections", id] => {
                self.membership(To::Connection(id.to_owned()), Group::parse(name)?)
            }
            ["users", user] => self.exists(To::User(user.to_owned())),
            ["users", user, ":send"] => self.send(To::User(user.to_owned())),
            ["users", user, ":closeConnections"] => self.close(To::User(user.to_owned())),
            ["users", user, "groups"] => self.leave_all(To::User(user.to_owned())),
            ["users", user, "groups", name] => {
                self.membership(To::User(user.to_owned()), Group::parse(name)?)
            }
            ["permissions", name, "connections", id] => self.permission(name, id),
            _ => Err(RestError::Path),
        }
    }

    fn only(&self, method: &str) -> Result<(), RestError> {
        if self.method == method { Ok(()) } else { Err(RestError::Method) }
    }

    fn send(self, to: To) -> Result<Operation, RestError> {
        self.only("POST")?;
        let wrong = "messageTtlSeconds is a whole number from 0 to 300";
        let ttl_s = self.parameters.number("messageTtlSeconds", wrong)?;
        if ttl_s.is_some_and(|ttl_s| ttl_s > MESSAGE_TTL_S_MAX) {
            return Err(RestError::Parameter(wrong));
        }
        let filter = self.parameters.one("filter").map(str::to_owned);
        let excluded = self.parameters.all("excluded");
        Ok(Operation::Send { to, filter, excluded, payload: self.body })
    }

    fn close(&self, to: To) -> Result<Operation, RestError> {
        self.only("POST")?;
        Ok(Operation::Close { to, excluded: self.parameters.all("excluded") })
    }

    fn exists(&self, to: To) -> Result<Operation, RestError> {
        match self.method {
            "HEAD" | "GET" => Ok(Operation::Exists(to)),
            _ => Err(RestError::Method),
        }
    }

    fn connection(&self, id: &str) -> Result<Operation, RestError> {
        let to = To::Connection(id.to_owned());
        match self.method {
            "DELETE" => Ok(Operation::Close { to, excluded: Vec::new() }),
            _ => self.exists(to),
        }
    }

    fn regroup(&self, join: bool) -> Result<Operation, RestError> {
        #[derive(Deserialize)]
        struct Body {
            groups: Vec<String>,
            filter: String,
        }
        self.only("POST")?;
        let wrong = "it has a list `groups` and a text `filter`";
        let body: Body = serde_json::from_slice(&self.body).map_err(|_| RestError::Json(wrong))?;
        let groups = body.groups.iter().map(|name| Group::parse(name));
        let groups = groups.collect::<Result<_, _>>()?;
        Ok(Operation::Regroup { groups, filter: body.filter, join })
    }

    fn membership(&self, who: To, group: Group) -> Result<Operation, RestError> {
        match self.method {
            "PUT" => Ok(Operation::Membership { who, group, join: true }),
            "DELETE" => Ok(Operation::Membership { who, group, join: false }),
            _ => Err(RestError::Method),
        }
    }

    fn leave_all(&self, who: To) -> Result<Operation, RestError> {
        self.only("DELETE")?;
        Ok(Operation::LeaveAll(who))
    }

    fn list(&self, group: Group) -> Result<Operation, RestError> {
        self.only("GET")?;
        let wrong = "maxpagesize is a whole number from 1 to 200";
        let page = match self.parameters.number("maxpagesize", wrong)? {
            None => PAGE_MAX,
            Some(page) => usize::try_from(page)
                .ok()
                .filter(|page| (1..=PAGE_MAX).contains(page))
                .ok_or(RestError::Parameter(wrong))?,
        };
        let wrong = "top is a whole number from 1";
        let top = match self.parameters.number("top", wrong)? {
            Some(0) => return Err(RestError::Parameter(wrong)),
            top => top.map(|top| top as usize),
        };
        let wrong = RestError::Parameter("continuationToken is not one of this node");
        let from = match self.parameters.one("continuationToken") {
            Some(token) => Place::parse(token).ok_or(wrong)?,
            None => Place::default(),
        };
        Ok(Operation::List { group, page, top, from })
    }

    fn permission(&self, name: &str, connection: &str) -> Result<Operation, RestError> {
        let verb = match self.method {
            "HEAD" | "GET" => PermissionVerb::Check,
            "PUT" => PermissionVerb::Grant,
            "DELETE" => PermissionVerb::Revoke,
            _ => return Err(RestError::Method),
        };
        if !matches!(name, "sendToGroup" | "joinLeaveGroup") {
            return Err(RestError::Parameter("the permission is sendToGroup or joinLeaveGroup"));
        }
        Ok(Operation::Permission {
            verb,
            name: name.to_owned(),
            connection: connection.to_owned(),
            target: self.parameters.one("targetName").map(str::to_owned),
        })
    }

    fn token(&self) -> Result<Operation, RestError> {
        self.only("POST")?;
        let wrong = "minutesToExpire is a whole number from 1";
        let minutes = self.parameters.number("minutesToExpire", wrong)?.unwrap_or(60);
        if minutes == 0 {
            return Err(RestError::Parameter(wrong));
        }
        Ok(Operation::Token(TokenWish {
            user: self.parameters.one("userId").map(str::to_owned),
            roles: self.parameters.all("role"),
            groups: self.parameters.all("group"),
            minutes: minutes.into(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &str, url: &str, body: &'static str) -> Result<Operation, RestError> {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let call = parse(method, path, query, Bytes::from_static(body.as_bytes()))?;
        assert_eq!(call.hub, "Chat");
        Ok(call.operation)
    }

    #[test]
    fn each_operation_has_its_method_and_path() {
        let room = Group::Room { namespace: "/".into(), room: "room".into() };
        let table = [
            ("POST", ":send?filter=a+b&excluded=x&excluded=y", "send_to_all"),
            ("POST", "connections/c1/:send?messageTtlSeconds=300", "send_to_connection"),
            ("POST", "groups/0~Lw~cm9vbQ/:send", "send_to_group"),
            ("POST", "users/ann%20b/:send", "send_to_user"),
            ("POST", ":invoke?filter=x", "invoke"),
            ("POST", ":closeConnections?reason=x", "close"),
            ("POST", "groups/g/:closeConnections", "close"),
            ("POST", "users/u/:closeConnections", "close"),
            ("DELETE", "connections/c1?reason=x", "close"),
            ("HEAD", "connections/c1", "exists"),
            ("HEAD", "groups/g", "exists"),
            ("HEAD", "users/u", "exists"),
            ("GET", "groups/g/connections?maxpagesize=200&top=1", "list"),
            ("PUT", "groups/g/connections/c1", "add_to_group"),
            ("DELETE", "groups/g/connections/c1", "remove_from_group"),
            ("PUT", "users/u/groups/g", "add_to_group"),
            ("DELETE", "users/u/groups/g", "remove_from_group"),
            ("DELETE", "users/u/groups", "remove_from_all_groups"),
            ("DELETE", "connections/c1/groups", "remove_from_all_groups"),
            ("HEAD", "permissions/sendToGroup/connections/c1?targetName=g", "permission"),
            ("PUT", "permissions/joinLeaveGroup/connections/c1", "permission"),
            ("DELETE", "permissions/sendToGroup/connections/c1", "permission"),
            ("POST", ":generateToken?userId=u&role=a&role=b&minutesToExpire=5", "generate_token"),
        ];
        for (method, path, label) in table {
            let operation = read(method, &format!("/api/hubs/Chat/{path}"), "").expect(path);
            assert_eq!(operation.label(), label, "{path}");
        }
        let body = r#"{"groups":["0~Lw~cm9vbQ"],"filter":"connectionId eq 'c'"}"#;
        let add = read("POST", "/api/hubs/Chat/:addToGroups?api-version=1", body);
        let filter = "connectionId eq 'c'".to_owned();
        assert_eq!(add, Ok(Operation::Regroup { groups: vec![room], filter, join: true }));
    }

    #[test]
    fn what_is_refused() {
        let long = format!("groups/{}/:send", "g".repeat(1025));
        let table = [
            ("GET", ":send", 405),
            ("POST", "connections/c1", 405),
            ("POST", ":send?messageTtlSeconds=301", 400),
            ("POST", ":send?messageTtlSeconds=x", 400),
            ("GET", "groups/g/connections?maxpagesize=201", 400),
            ("GET", "groups/g/connections?maxpagesize=0", 400),
            ("GET", "groups/g/connections?continuationToken=me", 400),
            ("PUT", "permissions/other/connections/c1", 400),
            ("POST", ":addToGroups", 400),
            ("POST", ":generateToken?minutesToExpire=0", 400),
            ("POST", &long, 400),
            ("POST", "groups//:send", 400),
            ("POST", "nothing", 404),
            ("POST", "groups/%ff/:send", 404),
        ];
        for (method, path, status) in table {
            let error = read(method, &format!("/api/hubs/Chat/{path}"), "").expect_err(path);
            assert_eq!(error.status(), status, "{path}");
        }
    }
}
