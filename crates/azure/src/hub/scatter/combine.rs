//! How the answers of several nodes become one.

use serde_json::{Value, json};

use crate::rest::{Answer, Operation, PermissionVerb, Place, To};

/// How the answers of several nodes become one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Rule {
    /// Every node must have done it.
    Done,
    /// One node that says yes is enough.
    Exists,
    /// One node has the connection; the others do not know it.
    Found,
    /// Acknowledgements come one after the other.
    Invoke,
    /// The nodes' members follow one another, by the nodes' numbers.
    List(Page),
}

/// A page of a list over several nodes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Page {
    size: usize,
    top: Option<usize>,
    from: Place,
}

impl Rule {
    pub(super) fn of(operation: &Operation) -> Self {
        match operation {
            Operation::Exists(_) => Self::Exists,
            Operation::Membership { who: To::Connection(_), join: true, .. } => Self::Found,
            Operation::Permission { verb, .. } => match verb {
                PermissionVerb::Check | PermissionVerb::Grant | PermissionVerb::Revoke => {
                    Self::Found
                }
            },
            Operation::Invoke { .. } => Self::Invoke,
            Operation::List { page, top, from, .. } => {
                Self::List(Page { size: *page, top: *top, from: *from })
            }
            Operation::Send { .. }
            | Operation::Close { .. }
            | Operation::Regroup { .. }
            | Operation::Membership { .. }
            | Operation::LeaveAll(_)
            | Operation::Token(_) => Self::Done,
        }
    }

    /// Whether a node's answer can be a part of the whole one.
    pub(super) const fn accepts(self, status: u16) -> bool {
        status < 400 || status == 404 && matches!(self, Self::Exists | Self::Found)
    }
}

impl Page {
    /// The members of a node that earlier pages had.
    pub(super) fn skip_at(&self, number: u16) -> usize {
        match self.from.node {
            Some((node, _)) if node != number => 0,
            Some(_) | None => self.from.skip,
        }
    }

    /// The query by which a node is asked for its part.
    pub(super) fn query_for(&self, number: u16) -> Box<str> {
        let skip = self.skip_at(number);
        format!("maxpagesize={}&continuationToken={skip}", self.size).into()
    }

    fn combine(self, mut parts: Vec<(u16, Answer)>) -> Answer {
        parts.sort_unstable_by_key(|(number, _)| *number);
        let before = self.from.node.map_or(self.from.skip, |(_, before)| before);
        let left = self.top.map_or(usize::MAX, |top| top.saturating_sub(before));
        let limit = left.min(self.size);
        let mut shown: Vec<Value> = Vec::new();
        let mut next = None;
        for (number, answer) in parts {
            let page: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let members = page["value"].as_array().map_or(&[][..], Vec::as_slice);
            let taken = members.len().min(limit - shown.len());
            shown.extend_from_slice(&members[..taken]);
            let more = taken < members.len() || !page["nextLink"].is_null();
            if shown.len() == limit && more {
                let node = Some((number, before + shown.len()));
                next = Some(Place { skip: self.skip_at(number) + taken, node });
                break;
            }
        }
        let next = next.filter(|_| left > limit).map(|place| place.to_string());
        Answer::json(200, &json!({ "value": shown, "nextLink": next }))
    }
}

/// One answer out of those of all nodes, each with the node's number.
pub(super) fn combine(rule: Rule, parts: Vec<(u16, Answer)>) -> Answer {
    if let Rule::List(page) = rule {
        return page.combine(parts);
    }
    // No connection is at two nodes, so at most one knows it.
    let yes = parts.iter().position(|(_, answer)| answer.status < 400).unwrap_or_default();
    let chosen = parts.into_iter().nth(yes).map(|(_, answer)| answer.status);
    Answer::empty(chosen.unwrap_or(503))
}

pub(super) fn has(parts: &[(u16, Answer)], status: u16) -> bool {
    parts.iter().any(|(_, answer)| answer.status == status)
}

/// Names as people expect them.
pub(super) fn in_order(mut names: Vec<Box<str>>) -> Vec<Box<str>> {
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(number: u16, members: &[&str], more: Option<usize>) -> (u16, Answer) {
        let value: Vec<Value> = members.iter().map(|id| json!({ "connectionId": id })).collect();
        (number, Answer::json(200, &json!({ "value": value, "nextLink": more })))
    }

    fn page(size: usize, top: Option<usize>, from: Place, parts: &[(u16, Answer)]) -> String {
        let answer = Page { size, top, from }.combine(parts.to_vec());
        let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
        let ids = body["value"].as_array().expect("a list").iter();
        let ids: Vec<&str> = ids.map(|one| one["connectionId"].as_str().expect("an id")).collect();
        format!("{} | {}", ids.join(" "), body["nextLink"].as_str().unwrap_or("end"))
    }

    #[test]
    fn the_pages_of_a_list_go_from_node_to_node() {
        let first = Place::default();
        let at = |node, skip, before| Place { skip, node: Some((node, before)) };
        let both = [part(9, &["c", "d"], Some(2)), part(4, &["a", "b"], None)];
        assert_eq!(page(2, None, first, &both), "a b | 9.0.2", "the next node has more");
        assert_eq!(page(3, None, first, &both), "a b c | 9.1.3");
        assert_eq!(page(4, None, first, &both), "a b c d | 9.2.4");
        assert_eq!(
            page(9, None, first, &[part(4, &["a"], None), part(9, &["c"], None)]),
            "a c | end"
        );
        assert_eq!(page(2, Some(2), first, &both), "a b | end", "that is all that was wanted");
        assert_eq!(page(2, Some(3), first, &both), "a b | 9.0.2");
        let second = [part(9, &["e", "f"], None)];
        assert_eq!(page(2, Some(5), at(9, 2, 4), &second), "e | end");
        assert_eq!(page(2, None, at(9, 2, 4), &second), "e f | end");
        assert_eq!(Page { size: 2, top: None, from: at(9, 2, 4) }.skip_at(9), 2);
        assert_eq!(Page { size: 2, top: None, from: at(9, 2, 4) }.skip_at(11), 0);
    }

    #[test]
    fn one_node_that_knows_is_enough_and_the_others_do_not_hide_it() {
        let of = |statuses: &[u16]| {
            let parts = statuses.iter().map(|status| (1, Answer::empty(*status))).collect();
            combine(Rule::Found, parts).status
        };
        assert_eq!(of(&[404, 200]), 200);
        assert_eq!(of(&[404, 204, 404]), 204);
        assert_eq!(of(&[404, 404]), 404);
    }
}
