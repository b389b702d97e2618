//! The one shape that Microsoft's Socket.IO adapter writes for `to` and `except`:
//! `'a' in groups or 'b' in groups and not ('c' in groups) and not ('d' in groups)`.
//!
//! By OData's precedence the denials belong to the last group alone, so that an excepted socket would still hear
//! what goes to the first. Socket.IO means the denials for all of it.

use super::expression::{Expression, Names};

/// Every group of Socket.IO's begins so.
const GROUP_PREFIX: &str = "0~";

/// `None` when the text is not exactly of that shape, with Socket.IO's groups only.
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
