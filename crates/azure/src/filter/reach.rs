//! How to find the connections that a filter selects.

use super::expression::{Expression, Literal, Names};

/// Where to look for connections, and whether each one must still be tested.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reach<'a> {
    /// The connections with these ids, as far as they exist.
    Connections(&'a [Box<str>]),
    /// Every connection; each must be tested with [`super::Filter::matches`].
    Each,
    /// Every connection, without a test.
    Everyone,
    /// Connections in any group of `any` and in no group of `none`. Without `any`: all connections
    /// except those in `none`.
    Groups {
        /// At least one group, if present.
        any: Option<&'a [Box<str>]>,
        /// The excluded groups; may be empty.
        none: &'a [Box<str>],
    },
    /// No connection.
    Nobody,
    /// The connections of these users.
    Users(&'a [Box<str>]),
}

pub(crate) fn reach(root: &Expression) -> Reach<'_> {
    if let Expression::Literal(Literal::Bool(all)) = root {
        return if *all { Reach::Everyone } else { Reach::Nobody };
    }
    if let Some(groups) = groups(root) {
        return groups;
    }
    let Expression::OneOf(value, names) = root else { return Reach::Each };
    if **value == Expression::ConnectionId {
        Reach::Connections(names.as_slice())
    } else if **value == Expression::UserId {
        Reach::Users(names.as_slice())
    } else {
        Reach::Each
    }
}

/// The groups of a filter. Negated groups have been merged into one branch, the last one.
fn groups(root: &Expression) -> Option<Reach<'_>> {
    let (any, none) = if let Expression::All(branches) = root {
        let [Expression::InGroups(any), denied] = &branches[..] else { return None };
        (Some(any), Some(denied_names(denied)?))
    } else if let Expression::InGroups(any) = root {
        (Some(any), None)
    } else {
        (None, Some(denied_names(root)?))
    };
    let none = none.map_or(&[][..], Names::as_slice);
    Some(Reach::Groups { any: any.map(Names::as_slice), none })
}

fn denied_names(expression: &Expression) -> Option<&Names> {
    let Expression::Not(inner) = expression else { return None };
    let Expression::InGroups(names) = &**inner else { return None };
    Some(names)
}
