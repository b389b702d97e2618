//! Random filters against an evaluator that is simple enough to check by reading.

use proptest::prelude::*;
use trunkline_azure::filter::{Dialect, Filter, Reach};

use crate::someone::Someone;

const NAMES: [&str; 6] = ["a", "b", "c'", "0~Lw~a", "0~Lw~b", "É"];

#[derive(Clone, Debug)]
enum Text {
    Connection,
    Literal(usize),
    Null,
    Lower(Box<Self>),
    Concat(Box<Self>, Box<Self>),
    User,
}

#[derive(Clone, Debug)]
enum Condition {
    And(Vec<Self>),
    Constant(bool),
    Eq(Text, Text),
    In(Text, Vec<Text>),
    InGroups(Text),
    Longer(Text, i64),
    Lt(Text, Text),
    Ne(Text, Text),
    Not(Box<Self>),
    Or(Vec<Self>),
    Starts(Text, Text),
}

fn text() -> impl Strategy<Value = Text> {
    let leaf = prop_oneof![
        Just(Text::Connection),
        Just(Text::Null),
        Just(Text::User),
        (0..NAMES.len()).prop_map(Text::Literal),
    ];
    leaf.prop_recursive(2, 4, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|text| Text::Lower(Box::new(text))),
            (inner.clone(), inner).prop_map(|(a, b)| Text::Concat(Box::new(a), Box::new(b))),
        ]
    })
}

fn condition() -> impl Strategy<Value = Condition> {
    let group = (0..NAMES.len()).prop_map(|name| Condition::InGroups(Text::Literal(name)));
    let leaf = prop_oneof![
        4 => group.clone(),
        3 => group.prop_map(|group| Condition::Not(Box::new(group))),
        1 => any::<bool>().prop_map(Condition::Constant),
        2 => (text(), text()).prop_map(|(a, b)| Condition::Eq(a, b)),
        1 => (text(), text()).prop_map(|(a, b)| Condition::Ne(a, b)),
        1 => (text(), text()).prop_map(|(a, b)| Condition::Lt(a, b)),
        1 => (text(), text()).prop_map(|(a, b)| Condition::Starts(a, b)),
        1 => (text(), -1_i64..4).prop_map(|(a, n)| Condition::Longer(a, n)),
        1 => text().prop_map(Condition::InGroups),
        2 => (text(), prop::collection::vec(text(), 1..4)).prop_map(|(a, l)| Condition::In(a, l)),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let list = prop::collection::vec(inner.clone(), 2..5);
        prop_oneof![
            list.clone().prop_map(Condition::And),
            list.prop_map(Condition::Or),
            inner.prop_map(|inner| Condition::Not(Box::new(inner))),
        ]
    })
}

fn someone() -> impl Strategy<Value = Someone> {
    let names = || prop::sample::select(NAMES.to_vec()).prop_map(str::to_owned);
    (names(), prop::option::of(names()), prop::sample::subsequence(NAMES.to_vec(), 0..=6)).prop_map(
        |(id, user, groups)| Someone {
            id,
            user,
            groups: groups.into_iter().map(str::to_owned).collect(),
        },
    )
}

impl Text {
    fn write(&self) -> String {
        match self {
            Self::Connection => "connectionId".into(),
            Self::Literal(name) => format!("'{}'", NAMES[*name].replace('\'', "''")),
            Self::Null => "null".into(),
            Self::Lower(inner) => format!("tolower({})", inner.write()),
            Self::Concat(a, b) => format!("concat({}, {})", a.write(), b.write()),
            Self::User => "userId".into(),
        }
    }

    fn of(&self, someone: &Someone) -> Option<String> {
        Some(match self {
            Self::Connection => someone.id.clone(),
            Self::Literal(name) => NAMES[*name].to_owned(),
            Self::Null => return None,
            Self::Lower(inner) => inner.of(someone)?.to_lowercase(),
            Self::Concat(a, b) => a.of(someone)? + &b.of(someone)?,
            Self::User => return someone.user.clone(),
        })
    }
}

impl Condition {
    /// Writes the filter with parentheses only where OData needs them.
    fn write(&self) -> String {
        let list = |list: &[Self], word: &str| {
            let within = |one: &Self| {
                if matches!(one, Self::Or(_)) || (matches!(one, Self::And(_)) && word == " and ") {
                    format!("({})", one.write())
                } else {
                    one.write()
                }
            };
            list.iter().map(within).collect::<Vec<_>>().join(word)
        };
        match self {
            Self::And(branches) => list(branches, " and "),
            Self::Or(branches) => list(branches, " or "),
            Self::Constant(constant) => constant.to_string(),
            Self::Eq(a, b) => format!("{} eq {}", a.write(), b.write()),
            Self::Ne(a, b) => format!("{} ne {}", a.write(), b.write()),
            Self::Lt(a, b) => format!("{} lt {}", a.write(), b.write()),
            Self::Starts(a, b) => format!("startswith({},{})", a.write(), b.write()),
            Self::Longer(a, n) => format!("length({}) gt {n}", a.write()),
            Self::InGroups(a) => format!("{} in groups", a.write()),
            Self::In(a, l) => {
                let list: Vec<_> = l.iter().map(Text::write).collect();
                format!("{} in ({})", a.write(), list.join(", "))
            }
            Self::Not(inner) => format!("not ({})", inner.write()),
        }
    }

    fn of(&self, someone: &Someone) -> Option<bool> {
        match self {
            Self::And(branches) => {
                let all: Vec<_> = branches.iter().map(|branch| branch.of(someone)).collect();
                if all.contains(&Some(false)) {
                    return Some(false);
                }
                if all.contains(&None) { None } else { Some(true) }
            }
            Self::Or(branches) => {
                let any: Vec<_> = branches.iter().map(|branch| branch.of(someone)).collect();
                if any.contains(&Some(true)) {
                    return Some(true);
                }
                if any.contains(&None) { None } else { Some(false) }
            }
            Self::Constant(constant) => Some(*constant),
            Self::Eq(a, b) => Some(a.of(someone) == b.of(someone)),
            Self::Ne(a, b) => Some(a.of(someone) != b.of(someone)),
            Self::Lt(a, b) => {
                let both = a.of(someone).zip(b.of(someone));
                Some(both.is_some_and(|(a, b)| a < b))
            }
            Self::Starts(a, b) => Some(a.of(someone)?.starts_with(&b.of(someone)?)),
            Self::Longer(a, n) => {
                Some(a.of(someone).is_some_and(|a| a.encode_utf16().count() as i64 > *n))
            }
            Self::InGroups(a) => Some(a.of(someone).is_some_and(|a| someone.groups.contains(&a))),
            Self::In(a, l) => Some(l.iter().any(|item| item.of(someone) == a.of(someone))),
            Self::Not(inner) => inner.of(someone).map(|inner| !inner),
        }
    }
}

/// Whether `reach` finds the same connections as testing every one.
fn reached(filter: &Filter, someone: &Someone) -> bool {
    let has = |names: &[Box<str>], name: &str| names.iter().any(|other| **other == *name);
    let in_any = |names: &[Box<str>]| someone.groups.iter().any(|group| has(names, group));
    match filter.reach() {
        Reach::Connections(ids) => has(ids, &someone.id),
        Reach::Each => filter.matches(someone),
        Reach::Everyone => true,
        Reach::Groups { any, none } => any.is_none_or(in_any) && !in_any(none),
        Reach::Nobody => false,
        Reach::Users(users) => someone.user.as_deref().is_some_and(|user| has(users, user)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_filter_means_what_the_plain_evaluator_says(condition in condition(), someone in someone()) {
        let written = condition.write();
        let filter = Filter::parse(&written, Dialect::Strict).expect(&written);
        let expected = condition.of(&someone) == Some(true);
        prop_assert_eq!(filter.matches(&someone), expected, "{}", &written);
        prop_assert_eq!(reached(&filter, &someone), expected, "{} by reach", &written);
    }

    #[test]
    fn the_adapters_shape_is_any_and_none(
        any in prop::collection::vec(0..2_usize, 1..4),
        none in prop::collection::vec(0..2_usize, 0..3),
        someone in someone(),
    ) {
        let name = |index: &usize| NAMES[3 + index];
        let allow: Vec<_> = any.iter().map(|group| format!("'{}' in groups", name(group))).collect();
        let deny: String =
            none.iter().map(|group| format!(" and not ('{}' in groups)", name(group))).collect();
        let written = allow.join(" or ") + &deny;
        let filter = Filter::parse(&written, Dialect::SocketIoAdapter).expect(&written);
        let is_in = |group: &usize| someone.groups.iter().any(|own| own == name(group));
        let expected = any.iter().any(is_in) && !none.iter().any(is_in);
        prop_assert_eq!(filter.matches(&someone), expected, "{}", &written);
        prop_assert_eq!(reached(&filter, &someone), expected, "{} by reach", &written);
    }

    #[test]
    fn any_text_is_read_or_refused_at_a_place_inside(text in "[ a-eino'(),0-9stgruplhIdwx-]{0,40}") {
        if let Err(error) = Filter::parse(&text, Dialect::Strict) {
            prop_assert!(error.position <= text.chars().count());
        }
    }
}
