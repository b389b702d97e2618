//! A parsed filter, in a form that is quick to evaluate.

/// One expression. Lists of groups and values are sorted, so a search in ten thousand of them looks
/// at a few.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expression {
    /// Every branch is true; at least two branches.
    All(Vec<Self>),
    /// At least one branch is true; at least two branches.
    Any(Vec<Self>),
    Call(Function, Vec<Self>),
    Compare(Comparison, Box<Self>, Box<Self>),
    ConnectionId,
    Groups,
    /// The connection is in at least one of these groups.
    InGroups(Names),
    /// The value, a text, is one of these groups.
    IsGroup(Box<Self>),
    Literal(Literal),
    Not(Box<Self>),
    /// The value is one of the literals.
    OneOf(Box<Self>, Names),
    /// The value equals one of the expressions.
    OneOfValues(Box<Self>, Vec<Self>),
    UserId,
}

/// Texts, sorted and without duplicates.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Names(Vec<Box<str>>);

impl Names {
    pub(crate) fn new(mut names: Vec<Box<str>>) -> Self {
        names.sort_unstable();
        names.dedup();
        Self(names)
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.0.binary_search_by(|other| (**other).cmp(name)).is_ok()
    }

    pub(crate) fn as_slice(&self) -> &[Box<str>] {
        &self.0
    }
}

/// A literal of the language.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Literal {
    Bool(bool),
    Null,
    Number(i64),
    Text(Box<str>),
}

/// The kind of an expression's value. Any kind except `Bool` and `Groups` may turn out to be null.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ValueKind {
    Bool,
    Groups,
    Null,
    Number,
    Text,
}

impl ValueKind {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Bool => "a condition",
            Self::Groups => "a collection",
            Self::Null => "null",
            Self::Number => "a number",
            Self::Text => "a text",
        }
    }
}

/// A comparison operator.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Comparison {
    Eq,
    Ge,
    Gt,
    Le,
    Lt,
    Ne,
}

impl Comparison {
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        let all = [Self::Eq, Self::Ge, Self::Gt, Self::Le, Self::Lt, Self::Ne];
        all.into_iter().find(|comparison| comparison.word().eq_ignore_ascii_case(word))
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Ge => "ge",
            Self::Gt => "gt",
            Self::Le => "le",
            Self::Lt => "lt",
            Self::Ne => "ne",
        }
    }

    pub(crate) fn orders(self) -> bool {
        !matches!(self, Self::Eq | Self::Ne)
    }
}

/// A function of the language.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Function {
    Concat,
    Contains,
    EndsWith,
    IndexOf,
    Length,
    StartsWith,
    Substring,
    ToLower,
    ToUpper,
    Trim,
}

impl Function {
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        let all = [
            Self::Concat,
            Self::Contains,
            Self::EndsWith,
            Self::IndexOf,
            Self::Length,
            Self::StartsWith,
            Self::Substring,
            Self::ToLower,
            Self::ToUpper,
            Self::Trim,
        ];
        all.into_iter().find(|function| function.word().eq_ignore_ascii_case(word))
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Concat => "concat",
            Self::Contains => "contains",
            Self::EndsWith => "endswith",
            Self::IndexOf => "indexof",
            Self::Length => "length",
            Self::StartsWith => "startswith",
            Self::Substring => "substring",
            Self::ToLower => "tolower",
            Self::ToUpper => "toupper",
            Self::Trim => "trim",
        }
    }

    /// The smallest and largest number of arguments, and both in words.
    pub(crate) fn arity(self) -> (usize, usize, &'static str) {
        match self {
            Self::Length | Self::ToLower | Self::ToUpper | Self::Trim => (1, 1, "one argument"),
            Self::Concat | Self::Contains | Self::EndsWith | Self::IndexOf | Self::StartsWith => {
                (2, 2, "two arguments")
            }
            Self::Substring => (2, 3, "two or three arguments"),
        }
    }

    fn value_kind(self) -> ValueKind {
        match self {
            Self::Contains | Self::EndsWith | Self::StartsWith => ValueKind::Bool,
            Self::IndexOf | Self::Length => ValueKind::Number,
            Self::Concat | Self::Substring | Self::ToLower | Self::ToUpper | Self::Trim => {
                ValueKind::Text
            }
        }
    }
}

impl Expression {
    pub(crate) fn kind(&self) -> ValueKind {
        match self {
            Self::Literal(Literal::Null) => ValueKind::Null,
            Self::Literal(Literal::Number(_)) => ValueKind::Number,
            Self::Literal(Literal::Text(_)) | Self::ConnectionId | Self::UserId => ValueKind::Text,
            Self::Groups => ValueKind::Groups,
            Self::Call(function, _) => function.value_kind(),
            Self::All(_)
            | Self::Any(_)
            | Self::Compare(..)
            | Self::InGroups(_)
            | Self::IsGroup(_)
            | Self::Literal(Literal::Bool(_))
            | Self::Not(_)
            | Self::OneOf(..)
            | Self::OneOfValues(..) => ValueKind::Bool,
        }
    }

    /// `text in groups`.
    pub(crate) fn is_group(text: Self) -> Self {
        if let Self::Literal(Literal::Text(name)) = text {
            return Self::InGroups(Names::new(vec![name]));
        }
        Self::IsGroup(Box::new(text))
    }

    /// `value in (list)`.
    pub(crate) fn one_of(value: Self, list: Vec<Self>) -> Self {
        let mut names = Vec::with_capacity(list.len());
        for item in &list {
            let Self::Literal(Literal::Text(name)) = item else {
                return Self::OneOfValues(Box::new(value), list);
            };
            names.push(name.clone());
        }
        Self::OneOf(Box::new(value), Names::new(names))
    }

    /// `left eq right` and the other comparisons.
    pub(crate) fn compare(comparison: Comparison, left: Self, right: Self) -> Self {
        let identifier = |side: &Self| matches!(side, Self::ConnectionId | Self::UserId);
        let (value, other) = if identifier(&left) { (&left, &right) } else { (&right, &left) };
        if comparison == Comparison::Eq
            && identifier(value)
            && let Self::Literal(Literal::Text(name)) = other
        {
            return Self::OneOf(Box::new(value.clone()), Names::new(vec![name.clone()]));
        }
        Self::Compare(comparison, Box::new(left), Box::new(right))
    }

    /// `a or b or …`: branches that test the same property are merged into one list.
    pub(crate) fn any(branches: Vec<Self>) -> Self {
        let mut lists = Lists::default();
        let mut kept = Vec::new();
        for branch in branches {
            match lists.of(&branch) {
                Some((list, names)) => list.extend_from_slice(names.as_slice()),
                None => kept.push(branch),
            }
        }
        lists.append_to(&mut kept);
        alone_or(kept, Self::Any)
    }

    /// `a and b and …`: the tests for not being in a group are merged into one list.
    pub(crate) fn all(branches: Vec<Self>) -> Self {
        let mut denied = Vec::new();
        let mut kept = Vec::new();
        for branch in branches {
            if let Self::Not(inner) = &branch
                && let Self::InGroups(names) = &**inner
            {
                denied.extend_from_slice(names.as_slice());
            } else {
                kept.push(branch);
            }
        }
        if !denied.is_empty() {
            kept.push(Self::Not(Box::new(Self::InGroups(Names::new(denied)))));
        }
        alone_or(kept, Self::All)
    }
}

/// The lists into which the branches of an `or` are merged: groups, users, connection ids.
#[derive(Default)]
struct Lists {
    connections: Vec<Box<str>>,
    groups: Vec<Box<str>>,
    users: Vec<Box<str>>,
}

impl Lists {
    /// The list that a branch belongs to, and the names that it adds.
    fn of<'a>(&mut self, branch: &'a Expression) -> Option<(&mut Vec<Box<str>>, &'a Names)> {
        if let Expression::InGroups(names) = branch {
            return Some((&mut self.groups, names));
        }
        let Expression::OneOf(value, names) = branch else { return None };
        if **value == Expression::UserId {
            Some((&mut self.users, names))
        } else if **value == Expression::ConnectionId {
            Some((&mut self.connections, names))
        } else {
            None
        }
    }

    fn append_to(self, branches: &mut Vec<Expression>) {
        let Self { connections, groups, users } = self;
        if !groups.is_empty() {
            branches.push(Expression::InGroups(Names::new(groups)));
        }
        let values = [(Expression::UserId, users), (Expression::ConnectionId, connections)];
        for (value, names) in values {
            if !names.is_empty() {
                branches.push(Expression::OneOf(Box::new(value), Names::new(names)));
            }
        }
    }
}

fn alone_or(mut branches: Vec<Expression>, join: fn(Vec<Expression>) -> Expression) -> Expression {
    match branches.len() {
        1 => branches.remove(0),
        _ => join(branches),
    }
}
