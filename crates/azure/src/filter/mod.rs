//! The filter language of the data plane: which connections a request is about.
//!
//! It is the OData subset that Azure Web PubSub documents (`reference-odata-filter`): `or and not eq ne gt ge lt
//! le in ()`, functions over texts, and the three identifiers `connectionId`, `userId`, `groups`. Words are read
//! without regard to case, values are compared exactly. `not` binds tightest, then comparisons and `in`, then
//! `and`, then `or`.
//!
//! A filter is parsed once. [`Filter::reach`] then says how the connections are found: most filters name groups,
//! users or connections and need no look at anybody else; [`Filter::matches`] tests one connection.
//!
//! Nothing in here knows a clock, a socket or another module, so that the fuzzer compiles this folder alone.

mod error;
mod evaluate;
mod expression;
mod lexer;
mod parse;
mod reach;
mod sdk;

pub use error::{FilterError, Problem};
pub use evaluate::Connection;
pub use reach::Reach;

use expression::Expression;

/// The longest filter, in bytes. A list of tens of thousands of rooms fits.
pub const BYTES_MAX: usize = 4 << 20;

/// The deepest nesting of parentheses, `not` and function calls.
pub const DEPTH_MAX: usize = 100;

/// Who writes a filter decides how one shape is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Dialect {
    /// OData to the letter.
    Strict,
    /// What Microsoft's Socket.IO adapter writes: `'a' in groups or 'b' in groups and not ('c' in groups)` means
    /// *(a or b) and not c*, because that is what `io.to("a").to("b").except("c")` means. All else is OData.
    SocketIoAdapter,
}

/// A filter that was understood.
#[derive(Clone, Debug)]
pub struct Filter {
    root: Expression,
}

impl Filter {
    /// Reads a filter, its URL encoding already undone.
    pub fn parse(text: &str, dialect: Dialect) -> Result<Self, FilterError> {
        if text.len() > BYTES_MAX {
            return Err(FilterError { position: BYTES_MAX, problem: Problem::TooLong });
        }
        if dialect == Dialect::SocketIoAdapter
            && let Some(root) = sdk::parse(text)
        {
            return Ok(Self { root });
        }
        parse::parse(text).map(|root| Self { root })
    }

    /// Whether the filter is true of this connection.
    pub fn matches(&self, connection: &impl Connection) -> bool {
        evaluate::is_true(&self.root, connection)
    }

    /// How to find the connections of which the filter is true.
    pub fn reach(&self) -> Reach<'_> {
        reach::reach(&self.root)
    }
}
