//! What can be wrong with a filter, and where.

/// A filter that was not understood.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the filter is wrong at position {position}: {problem}")]
pub struct FilterError {
    /// Characters before the mistake.
    pub position: usize,
    /// The rule that is broken there.
    pub problem: Problem,
}

/// One variant per rule of the language. Alphabetical.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Problem {
    /// A function takes a fixed number of arguments.
    #[error("`{function}` takes {takes}")]
    ArgumentCount {
        /// The function's name.
        function: &'static str,
        /// How many it takes, in words.
        takes: &'static str,
    },
    /// Some character stands for nothing.
    #[error("{0:?} stands for nothing here")]
    Character(char),
    /// Something else had to come.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// What had to come.
        expected: &'static str,
        /// What came.
        found: String,
    },
    /// Only values of one kind can be compared.
    #[error("{left} cannot be compared with {right} by `{operator}`")]
    NotComparable {
        /// The kind of the value before the operator.
        left: &'static str,
        /// The operator.
        operator: &'static str,
        /// The kind of the value behind the operator.
        right: &'static str,
    },
    /// `not` binds tighter than a comparison.
    #[error(
        "`not` belongs to the value right behind it, which is {0}; put the comparison in parentheses"
    )]
    NotOfValue(&'static str),
    /// Numbers have 64 bits.
    #[error("the number is too large")]
    NumberTooLarge,
    /// Nesting is bounded.
    #[error("it is nested deeper than {}", super::DEPTH_MAX)]
    TooDeep,
    /// The length is bounded.
    #[error("it is longer than {} bytes", super::BYTES_MAX)]
    TooLong,
    /// There are three identifiers and ten functions.
    #[error("`{0}` is neither an identifier (connectionId, userId, groups) nor a function")]
    UnknownName(String),
    /// A text ends with a quote; `''` is a quote inside.
    #[error("the text that begins here has no closing quote")]
    Unterminated,
}
