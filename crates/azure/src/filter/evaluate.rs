//! Evaluates a filter for one connection.
//!
//! OData has three truth values: a function of a missing user id is null, `not null` is null, and
//! only true selects a connection. `eq` and `ne` compare null like any value; the other comparisons
//! with null are false.

use core::cmp::Ordering;
use std::borrow::Cow;

use super::expression::{Comparison, Expression, Function, Literal, Names};

/// The properties of a connection that a filter can test.
pub trait Connection {
    /// The connection's id.
    fn connection_id(&self) -> &str;
    /// The user of the connection, if it has one.
    fn user_id(&self) -> Option<&str>;
    /// Whether the connection is in this group.
    fn in_group(&self, group: &str) -> bool;
    /// The number of the connection's groups.
    fn group_count(&self) -> usize;
    /// Whether `test` is true for one of the connection's groups.
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

/// Evaluates a condition; `None` is null.
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
        // The parser allows only conditions here.
        Expression::ConnectionId
        | Expression::Groups
        | Expression::Literal(_)
        | Expression::UserId => None,
    }
}

/// Evaluates `or` (`decides` is true) or `and` (`decides` is false): the first branch with that
/// value decides.
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

/// Calls a function; a function of null is null.
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

/// Lengths and positions count UTF-16 units, as Azure does.
fn number(count: usize) -> Value<'static> {
    Value::Number(i64::try_from(count).unwrap_or(i64::MAX))
}

/// A part of a text; positions outside of the text are ignored.
fn substring(text: &str, start: i64, length: i64) -> String {
    let skip = usize::try_from(start).unwrap_or(0);
    let take = usize::try_from(length).unwrap_or(0);
    let units: Vec<u16> = text.encode_utf16().skip(skip).take(take).collect();
    String::from_utf16_lossy(&units)
}
