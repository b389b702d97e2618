//! Whether a filter is true of one connection.
//!
//! OData's three values: what is asked of a user id that does not exist is null; `not null` is null; only true
//! selects. `eq` and `ne` compare with null as with any value, the other comparisons are false.

use core::cmp::Ordering;
use std::borrow::Cow;

use super::expression::{Comparison, Expression, Function, Literal, Names};

/// What a filter can ask of a connection.
pub trait Connection {
    /// Its id.
    fn connection_id(&self) -> &str;
    /// Whose it is, if anybody's.
    fn user_id(&self) -> Option<&str>;
    /// Whether it is in this group.
    fn in_group(&self, group: &str) -> bool;
    /// How many groups it is in.
    fn group_count(&self) -> usize;
    /// Whether `test` is true of one of its groups.
    fn any_group(&self, test: &mut dyn FnMut(&str) -> bool) -> bool;
}

pub(crate) fn is_true(expression: &Expression, connection: &impl Connection) -> bool {
    truth(expression, connection) == Some(true)
}

#[derive(Debug, PartialEq)]
enum Value<'a> {
    Bool(bool),
    Null,
    Number(i64),
    Text(Cow<'a, str>),
}

/// `None` is null.
fn truth(expression: &Expression, connection: &impl Connection) -> Option<bool> {
    match expression {
        Expression::All(branches) => joined(branches, connection, false),
        Expression::Any(branches) => joined(branches, connection, true),
        Expression::Not(inner) => truth(inner, connection).map(|inner| !inner),
        Expression::InGroups(names) => Some(in_any(names, connection)),
        Expression::IsGroup(name) => match value(name, connection) {
            Value::Text(name) => Some(connection.in_group(&name)),
            Value::Bool(_) | Value::Null | Value::Number(_) => Some(false),
        },
        Expression::OneOf(one, names) => match value(one, connection) {
            Value::Text(text) => Some(names.contains(&text)),
            Value::Bool(_) | Value::Null | Value::Number(_) => Some(false),
        },
        Expression::OneOfValues(one, list) => {
            let one = value(one, connection);
            Some(list.iter().any(|item| value(item, connection) == one))
        }
        Expression::Compare(comparison, left, right) => {
            Some(compared(*comparison, &value(left, connection), &value(right, connection)))
        }
        Expression::Literal(Literal::Bool(literal)) => Some(*literal),
        Expression::Call(function, arguments) => match called(*function, arguments, connection) {
            Value::Bool(truth) => Some(truth),
            Value::Null | Value::Number(_) | Value::Text(_) => None,
        },
        // The parser lets nothing else stand where a condition must be.
        Expression::ConnectionId
        | Expression::Groups
        | Expression::Literal(_)
        | Expression::UserId => None,
    }
}

/// `or` when one `true` decides, `and` when one `false` does.
fn joined(branches: &[Expression], connection: &impl Connection, decides: bool) -> Option<bool> {
    let mut joined = Some(!decides);
    for branch in branches {
        match truth(branch, connection) {
            Some(truth) if truth == decides => return Some(decides),
            Some(_) => (),
            None => joined = None,
        }
    }
    joined
}

fn in_any(names: &Names, connection: &impl Connection) -> bool {
    let few = names.as_slice().len() <= connection.group_count();
    if few {
        names.as_slice().iter().any(|name| connection.in_group(name))
    } else {
        connection.any_group(&mut |group| names.contains(group))
    }
}

fn compared(comparison: Comparison, left: &Value<'_>, right: &Value<'_>) -> bool {
    let order = match (left, right) {
        (Value::Number(left), Value::Number(right)) => Some(left.cmp(right)),
        (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
        _ => None,
    };
    match comparison {
        Comparison::Eq => left == right,
        Comparison::Ge => order.is_some_and(Ordering::is_ge),
        Comparison::Gt => order.is_some_and(Ordering::is_gt),
        Comparison::Le => order.is_some_and(Ordering::is_le),
        Comparison::Lt => order.is_some_and(Ordering::is_lt),
        Comparison::Ne => left != right,
    }
}

fn value<'a>(expression: &'a Expression, connection: &'a impl Connection) -> Value<'a> {
    match expression {
        Expression::ConnectionId => Value::Text(connection.connection_id().into()),
        Expression::UserId => {
            connection.user_id().map_or(Value::Null, |user| Value::Text(user.into()))
        }
        Expression::Literal(Literal::Bool(literal)) => Value::Bool(*literal),
        Expression::Literal(Literal::Null) => Value::Null,
        Expression::Literal(Literal::Number(number)) => Value::Number(*number),
        Expression::Literal(Literal::Text(text)) => Value::Text((**text).into()),
        Expression::Call(function, arguments) => called(*function, arguments, connection),
        Expression::Groups => Value::Null,
        Expression::All(_)
        | Expression::Any(_)
        | Expression::Compare(..)
        | Expression::InGroups(_)
        | Expression::IsGroup(_)
        | Expression::Not(_)
        | Expression::OneOf(..)
        | Expression::OneOfValues(..) => {
            truth(expression, connection).map_or(Value::Null, Value::Bool)
        }
    }
}

/// A function of null is null.
fn called<'a>(
    function: Function,
    arguments: &'a [Expression],
    connection: &'a impl Connection,
) -> Value<'a> {
    if let (Function::Length, [Expression::Groups]) = (function, arguments) {
        return number(connection.group_count());
    }
    let mut values = arguments.iter().map(|argument| value(argument, connection));
    let Some(Value::Text(text)) = values.next() else { return Value::Null };
    match (function, values.next(), values.next()) {
        (Function::Length, ..) => number(text.encode_utf16().count()),
        (Function::ToLower, ..) => Value::Text(text.to_lowercase().into()),
        (Function::ToUpper, ..) => Value::Text(text.to_uppercase().into()),
        (Function::Trim, ..) => Value::Text(text.trim().to_owned().into()),
        (Function::Concat, Some(Value::Text(other)), _) => {
            Value::Text((text.into_owned() + &other).into())
        }
        (Function::Contains, Some(Value::Text(other)), _) => Value::Bool(text.contains(&*other)),
        (Function::EndsWith, Some(Value::Text(other)), _) => Value::Bool(text.ends_with(&*other)),
        (Function::StartsWith, Some(Value::Text(other)), _) => {
            Value::Bool(text.starts_with(&*other))
        }
        (Function::IndexOf, Some(Value::Text(other)), _) => text
            .find(&*other)
            .map_or(Value::Number(-1), |at| number(text[..at].encode_utf16().count())),
        (Function::Substring, Some(Value::Number(start)), None) => {
            Value::Text(substring(&text, start, i64::MAX).into())
        }
        (Function::Substring, Some(Value::Number(start)), Some(Value::Number(length))) => {
            Value::Text(substring(&text, start, length).into())
        }
        _ => Value::Null,
    }
}

/// Lengths and places count UTF-16 units, as on the original.
fn number(count: usize) -> Value<'static> {
    Value::Number(i64::try_from(count).unwrap_or(i64::MAX))
}

/// What lies outside of the text is left out.
fn substring(text: &str, start: i64, length: i64) -> String {
    let skip = usize::try_from(start).unwrap_or(0);
    let take = usize::try_from(length).unwrap_or(0);
    let units: Vec<u16> = text.encode_utf16().skip(skip).take(take).collect();
    String::from_utf16_lossy(&units)
}
