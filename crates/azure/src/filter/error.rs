//! The mistakes that a filter can contain, and their positions.

/// A filter with a mistake.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the filter is wrong at position {position}: {problem}")]
pub struct FilterError {
    /// The number of characters before the mistake.
    pub position: usize,
    /// The broken rule.
    pub problem: Problem,
}

/// One variant per rule of the language, in alphabetical order.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Problem {
    /// A function has the wrong number of arguments.
    #[error("`{function}` takes {takes}")]
    ArgumentCount {
        /// The function's name.
        function: &'static str,
        /// How many arguments it takes, in words.
        takes: &'static str,
    },
    /// A character that the language does not use.
    #[error("{0:?} stands for nothing here")]
    Character(char),
    /// Another token was expected.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// The expected token.
        expected: &'static str,
        /// The token that was found.
        found: String,
    },
    /// The two values of a comparison are of different kinds.
    #[error("{left} cannot be compared with {right} by `{operator}`")]
    NotComparable {
        /// The kind of the value before the operator.
        left: &'static str,
        /// The operator.
        operator: &'static str,
        /// The kind of the value after the operator.
        right: &'static str,
    },
    /// `not` stands before a comparison without parentheses: it binds tighter than the comparison.
    #[error(
        "`not` belongs to the value right behind it, which is {0}; put the comparison in parentheses"
    )]
    NotOfValue(&'static str),
    /// A number exceeds 64 bits.
    #[error("the number is too large")]
    NumberTooLarge,
    /// The nesting is deeper than allowed.
    #[error("it is nested deeper than {}", super::DEPTH_MAX)]
    TooDeep,
    /// The filter is longer than allowed.
    #[error("it is longer than {} bytes", super::BYTES_MAX)]
    TooLong,
    /// A name is none of the three identifiers and ten functions.
    #[error("`{0}` is neither an identifier (connectionId, userId, groups) nor a function")]
    UnknownName(String),
    /// A text has no closing quote; inside a text, `''` is a quote.
    #[error("the text that begins here has no closing quote")]
    Unterminated,
}
