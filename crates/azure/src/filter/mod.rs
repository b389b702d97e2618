//! The filter language of the REST API: it selects the connections that a call is about.
//!
//! It is the OData subset that Azure Web PubSub documents (`reference-odata-filter`): `or and not
//! eq ne gt ge lt le in ()`, functions over texts, and the three identifiers `connectionId`,
//! `userId`, `groups`. Keywords ignore case, values are compared exactly. `not` binds tightest,
//! then comparisons and `in`, then `and`, then `or`.
//!
//! A filter is parsed once. [`Filter::reach`] then says how to find the connections: most filters
//! name groups, users or connections, so only those need a look; [`Filter::matches`] tests one
//! connection.
//!
//! This folder uses no clock, socket or other module, so that the fuzzer can compile it alone.

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

/// The author of a filter, which decides how one shape is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Dialect {
    /// Exactly as OData.
    Strict,
    /// As Microsoft's Socket.IO adapter means it: `'a' in groups or 'b' in groups and not ('c' in
    /// groups)` is *(a or b) and not c*, because that is what `io.to("a").to("b").except("c")`
    /// means. Everything else is OData.
    SocketIoAdapter,
}

/// A parsed filter.
#[derive(Clone, Debug)]
pub struct Filter {
    root: Expression,
}

impl Filter {
    /// Parses a filter whose URL encoding is already decoded.
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

    /// How to find the connections for which the filter is true.
    pub fn reach(&self) -> Reach<'_> {
        reach::reach(&self.root)
    }
}
