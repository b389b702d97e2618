//! Splits the text into tokens, each with its position.

use super::error::{FilterError, Problem};

/// A token of the language.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Token<'a> {
    Close,
    Comma,
    End,
    Number(i64),
    Open,
    Text(Box<str>),
    Word(&'a str),
}

impl Token<'_> {
    /// The token as words for "found …". A text is shown by its kind only, because it may be a
    /// user's name.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Close => "`)`".into(),
            Self::Comma => "`,`".into(),
            Self::End => "the end".into(),
            Self::Number(number) => format!("the number {number}"),
            Self::Open => "`(`".into(),
            Self::Text(_) => "a text".into(),
            Self::Word(word) => format!("`{}`", shortened(word)),
        }
    }
}

/// A word as an error message repeats it.
pub(crate) fn shortened(word: &str) -> &str {
    word.get(..32).unwrap_or(word)
}

/// Splits a filter into tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lexer<'a> {
    text: &'a str,
    /// The position in bytes.
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// An error at a position in bytes.
    pub(crate) fn error(&self, at: usize, problem: Problem) -> FilterError {
        FilterError { position: self.text[..at].chars().count(), problem }
    }

    /// The next token and the byte at which it begins.
    pub(crate) fn next(&mut self) -> Result<(Token<'a>, usize), FilterError> {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
        let start = self.at;
        let Some(first) = self.text[start..].chars().next() else {
            return Ok((Token::End, start));
        };
        let token = match first {
            '(' => self.single(Token::Open),
            ')' => self.single(Token::Close),
            ',' => self.single(Token::Comma),
            '\'' => self.quoted()?,
            '0'..='9' | '-' | '+' => self.number()?,
            'a'..='z' | 'A'..='Z' | '_' => self.word(),
            other => return Err(self.error(start, Problem::Character(other))),
        };
        Ok((token, start))
    }

    fn single(&mut self, token: Token<'a>) -> Token<'a> {
        self.at += 1;
        token
    }

    fn quoted(&mut self) -> Result<Token<'a>, FilterError> {
        let start = self.at;
        let mut name = String::new();
        let mut rest = &self.text[start + 1..];
        loop {
            let Some(quote) = rest.find('\'') else {
                return Err(self.error(start, Problem::Unterminated));
            };
            name.push_str(&rest[..quote]);
            rest = &rest[quote + 1..];
            match rest.strip_prefix('\'') {
                Some(after) => {
                    name.push('\'');
                    rest = after;
                }
                None => break,
            }
        }
        self.at = self.text.len() - rest.len();
        Ok(Token::Text(name.into()))
    }

    fn number(&mut self) -> Result<Token<'a>, FilterError> {
        let start = self.at;
        let text = &self.text[start..];
        let signed = usize::from(text.starts_with(['-', '+']));
        let digits = text[signed..].bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            let found = format!("`{}`", &text[..signed]);
            return Err(self.error(start, Problem::Expected { expected: "a value", found }));
        }
        self.at += signed + digits;
        match self.text[self.at..].chars().next() {
            Some(c) if c == '.' || c == '_' || c.is_ascii_alphanumeric() => {
                let found = format!("{c:?} behind its digits");
                Err(self.error(self.at, Problem::Expected { expected: "a whole number", found }))
            }
            _ => text[..signed + digits]
                .parse()
                .map(Token::Number)
                .map_err(|_| self.error(start, Problem::NumberTooLarge)),
        }
    }

    fn word(&mut self) -> Token<'a> {
        let text = &self.text[self.at..];
        let is_word = |c: char| c == '_' || c.is_ascii_alphanumeric();
        let word = &text[..text.len() - text.trim_start_matches(is_word).len()];
        self.at += word.len();
        Token::Word(word)
    }
}
