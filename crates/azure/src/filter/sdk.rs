//! The shape that Microsoft's Socket.IO adapter writes for `to` and `except`: `'a' in groups or 'b'
//! in groups and not ('c' in groups) and not ('d' in groups)`.
//!
//! By OData's precedence the negations would apply to the last group only, so an excluded socket
//! would still receive messages to the first group. Socket.IO means the negations for all groups.

use super::expression::{Expression, Names};

/// The prefix of every group that Socket.IO makes.
const GROUP_PREFIX: &str = "0~";

/// Parses the text; `None` when it has not exactly that shape with Socket.IO's groups only.
pub(crate) fn parse(text: &str) -> Option<Expression> {
    let mut allowed = Vec::new();
    let mut rest = text;
    loop {
        let (name, after) = group(rest)?;
        allowed.push(name.into());
        rest = after;
        match rest.strip_prefix(" or ") {
            Some(after) => rest = after,
            None => break,
        }
    }
    let mut branches = vec![Expression::InGroups(Names::new(allowed))];
    while let Some(after) = rest.strip_prefix(" and not (") {
        let (name, after) = group(after)?;
        branches
            .push(Expression::Not(Box::new(Expression::InGroups(Names::new(vec![name.into()])))));
        rest = after.strip_prefix(')')?;
    }
    rest.is_empty().then(|| Expression::all(branches))
}

/// `'name' in groups` and what follows it.
fn group(text: &str) -> Option<(&str, &str)> {
    let (name, after) = text.strip_prefix('\'')?.split_once('\'')?;
    let rest = after.strip_prefix(" in groups")?;
    name.starts_with(GROUP_PREFIX).then_some((name, rest))
}
