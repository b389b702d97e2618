//! Parses tokens into an expression, by OData's rules of precedence.
//!
//! Lists of `and` and of `or` are loops, so their length needs no stack; nested expressions are
//! counted.

use super::DEPTH_MAX;
use super::error::{FilterError, Problem};
use super::expression::{Comparison, Expression, Function, Literal, ValueKind};
use super::lexer::{Lexer, Token, shortened};

/// The most comparisons in a row without parentheses, as in `1 lt 2 eq true`. Each one makes the
/// tree deeper.
const CHAINED_MAX: usize = 4;

pub(crate) fn parse(text: &str) -> Result<Expression, FilterError> {
    let mut lexer = Lexer::new(text);
    let (token, at) = lexer.next()?;
    let mut parser = Parser { lexer, token, at, depth: 0 };
    let root = parser.condition()?;
    if parser.token == Token::End {
        Ok(root)
    } else {
        Err(parser.expected("`and`, `or` or the end"))
    }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    /// The present token, and its position.
    token: Token<'a>,
    at: usize,
    depth: usize,
}

type Parsed = Result<Expression, FilterError>;

impl<'a> Parser<'a> {
    /// An expression that is true or false.
    fn condition(&mut self) -> Parsed {
        let start = self.at;
        let expression = self.disjunction()?;
        self.check_condition(start, &expression)?;
        Ok(expression)
    }

    fn disjunction(&mut self) -> Parsed {
        self.list("or", Self::conjunction, Expression::any)
    }

    fn conjunction(&mut self) -> Parsed {
        self.list("and", Self::comparison, Expression::all)
    }

    /// Parses branches joined by a word. A single branch is returned as it is.
    fn list(
        &mut self,
        word: &str,
        branch: fn(&mut Self) -> Parsed,
        join: fn(Vec<Expression>) -> Expression,
    ) -> Parsed {
        let start = self.at;
        let first = branch(self)?;
        if !self.is_word(word) {
            return Ok(first);
        }
        self.check_condition(start, &first)?;
        let mut branches = vec![first];
        while self.is_word(word) {
            self.advance()?;
            let start = self.at;
            let next = branch(self)?;
            self.check_condition(start, &next)?;
            branches.push(next);
        }
        Ok(join(branches))
    }

    fn comparison(&mut self) -> Parsed {
        let mut left = self.unary()?;
        for _ in 0..CHAINED_MAX {
            let Token::Word(word) = self.token else { return Ok(left) };
            let at = self.at;
            left = if word.eq_ignore_ascii_case("in") {
                self.advance()?;
                self.membership(at, left)?
            } else if let Some(comparison) = Comparison::from_word(word) {
                self.advance()?;
                let right = self.unary()?;
                self.check_comparable(at, &left, comparison, &right)?;
                Expression::compare(comparison, left, right)
            } else {
                return Ok(left);
            };
        }
        let Token::Word(word) = self.token else { return Ok(left) };
        if Comparison::from_word(word).is_some() || word.eq_ignore_ascii_case("in") {
            return Err(self.lexer.error(self.at, Problem::TooDeep));
        }
        Ok(left)
    }

    /// Parses what follows `in`, which stood at `at`.
    fn membership(&mut self, at: usize, left: Expression) -> Parsed {
        if self.token != Token::Open {
            return self.in_collection(at, left);
        }
        // `(groups)` is a collection, `('a','b')` is a list.
        let saved = (self.lexer, self.token.clone(), self.at);
        self.advance()?;
        if self.token == Token::Open || self.is_word("groups") {
            (self.lexer, self.token, self.at) = saved;
            return self.in_collection(at, left);
        }
        let mut list = Vec::new();
        loop {
            let item_at = self.at;
            let item = self.nested(item_at, Self::unary)?;
            self.check_comparable(item_at, &left, Comparison::Eq, &item)?;
            list.push(item);
            if self.token != Token::Comma {
                break;
            }
            self.advance()?;
        }
        self.take(&Token::Close, "`,` or `)`")?;
        Ok(Expression::one_of(left, list))
    }

    fn in_collection(&mut self, at: usize, left: Expression) -> Parsed {
        let start = self.at;
        let collection = self.unary()?;
        if collection != Expression::Groups {
            let found = collection.kind().words().into();
            let expected = "`groups` or a list in parentheses";
            return Err(self.lexer.error(start, Problem::Expected { expected, found }));
        }
        match left.kind() {
            ValueKind::Text | ValueKind::Null => Ok(Expression::is_group(left)),
            other @ (ValueKind::Bool | ValueKind::Groups | ValueKind::Number) => {
                let (expected, found) = ("a text before `in groups`", other.words().into());
                Err(self.lexer.error(at, Problem::Expected { expected, found }))
            }
        }
    }

    fn unary(&mut self) -> Parsed {
        if !self.is_word("not") {
            return self.primary();
        }
        let at = self.at;
        self.advance()?;
        let start = self.at;
        let inner = self.nested(at, Self::unary)?;
        let kind = inner.kind();
        if kind != ValueKind::Bool {
            return Err(self.lexer.error(start, Problem::NotOfValue(kind.words())));
        }
        Ok(Expression::Not(Box::new(inner)))
    }

    fn primary(&mut self) -> Parsed {
        let at = self.at;
        match core::mem::replace(&mut self.token, Token::End) {
            Token::Open => {
                self.advance()?;
                let inner = self.nested(at, Self::disjunction)?;
                self.take(&Token::Close, "`)`")?;
                Ok(inner)
            }
            Token::Text(text) => self.literal(Literal::Text(text)),
            Token::Number(number) => self.literal(Literal::Number(number)),
            Token::Word(word) => self.word(word),
            token @ (Token::Close | Token::Comma | Token::End) => {
                self.token = token;
                Err(self.expected("a value, an identifier, a function or `(`"))
            }
        }
    }

    fn literal(&mut self, literal: Literal) -> Parsed {
        self.advance()?;
        Ok(Expression::Literal(literal))
    }

    /// Parses a word that was already taken out of `token`.
    fn word(&mut self, word: &'a str) -> Parsed {
        let at = self.at;
        let is = |name: &str| word.eq_ignore_ascii_case(name);
        if let Some(function) = Function::from_word(word) {
            self.advance()?;
            return self.call(at, function);
        }
        let expression = match () {
            () if is("connectionId") => Expression::ConnectionId,
            () if is("userId") => Expression::UserId,
            () if is("groups") => Expression::Groups,
            () if is("true") => Expression::Literal(Literal::Bool(true)),
            () if is("false") => Expression::Literal(Literal::Bool(false)),
            () if is("null") => Expression::Literal(Literal::Null),
            () if is("and") || is("or") || is("in") || Comparison::from_word(word).is_some() => {
                self.token = Token::Word(word);
                return Err(self.expected("a value, an identifier, a function or `(`"));
            }
            () => {
                let name = shortened(word).to_owned();
                return Err(self.lexer.error(at, Problem::UnknownName(name)));
            }
        };
        self.advance()?;
        Ok(expression)
    }

    fn call(&mut self, at: usize, function: Function) -> Parsed {
        self.take(&Token::Open, "`(` behind a function's name")?;
        let (least, most, takes) = function.arity();
        let count = Problem::ArgumentCount { function: function.word(), takes };
        let mut arguments = Vec::new();
        while self.token != Token::Close {
            if arguments.len() == most {
                return Err(self.lexer.error(self.at, count));
            }
            if !arguments.is_empty() {
                self.take(&Token::Comma, "`,` or `)`")?;
            }
            let start = self.at;
            let argument = self.nested(at, Self::disjunction)?;
            self.check_argument(start, function, arguments.len(), &argument)?;
            arguments.push(argument);
            if !matches!(self.token, Token::Comma | Token::Close) {
                return Err(self.expected("`,` or `)`"));
            }
        }
        if arguments.len() < least {
            return Err(self.lexer.error(self.at, count));
        }
        self.advance()?;
        Ok(Expression::Call(function, arguments))
    }

    fn nested(&mut self, at: usize, inner: fn(&mut Self) -> Parsed) -> Parsed {
        if self.depth == DEPTH_MAX {
            return Err(self.lexer.error(at, Problem::TooDeep));
        }
        self.depth += 1;
        let parsed = inner(self);
        self.depth -= 1;
        parsed
    }

    fn check_condition(&self, at: usize, expression: &Expression) -> Result<(), FilterError> {
        let kind = expression.kind();
        if kind == ValueKind::Bool {
            return Ok(());
        }
        let (expected, found) = ("a condition", kind.words().into());
        Err(self.lexer.error(at, Problem::Expected { expected, found }))
    }

    fn check_comparable(
        &self,
        at: usize,
        left: &Expression,
        comparison: Comparison,
        right: &Expression,
    ) -> Result<(), FilterError> {
        use ValueKind::{Bool, Null, Number, Text};
        let fits = match (left.kind(), right.kind()) {
            (Text | Null, Text | Null) | (Number | Null, Number) | (Number, Null) => true,
            (Bool | Null, Bool) | (Bool, Null) => !comparison.orders(),
            _ => false,
        };
        if fits {
            return Ok(());
        }
        let (left, right) = (left.kind().words(), right.kind().words());
        let operator = comparison.word();
        Err(self.lexer.error(at, Problem::NotComparable { left, operator, right }))
    }

    fn check_argument(
        &self,
        at: usize,
        function: Function,
        index: usize,
        argument: &Expression,
    ) -> Result<(), FilterError> {
        use ValueKind::{Groups, Null, Number, Text};
        let (fits, expected) = match (function, index, argument.kind()) {
            (Function::Length, _, kind) => {
                (matches!(kind, Text | Null | Groups), "a text or `groups`")
            }
            (Function::Substring, 1.., kind) => (kind == Number, "a number"),
            (_, _, kind) => (matches!(kind, Text | Null), "a text"),
        };
        if fits {
            return Ok(());
        }
        let found = argument.kind().words().into();
        Err(self.lexer.error(at, Problem::Expected { expected, found }))
    }

    fn take(&mut self, token: &Token<'_>, expected: &'static str) -> Result<(), FilterError> {
        if self.token == *token { self.advance() } else { Err(self.expected(expected)) }
    }

    fn advance(&mut self) -> Result<(), FilterError> {
        (self.token, self.at) = self.lexer.next()?;
        Ok(())
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.token, Token::Word(other) if other.eq_ignore_ascii_case(word))
    }

    fn expected(&self, expected: &'static str) -> FilterError {
        let found = self.token.words();
        self.lexer.error(self.at, Problem::Expected { expected, found })
    }
}
