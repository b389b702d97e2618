//! The mistakes in a configuration, described so that they can be corrected without looking
//! anything up.

use core::fmt;
use std::path::{Path, PathBuf};

/// Where a value was set.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Origin {
    /// Nowhere: the default applies.
    Default,
    /// A line of a file.
    File {
        /// The path of the file as it was given.
        path: PathBuf,
        /// The line; the first is 1.
        line: usize,
    },
    /// An environment variable.
    Env(String),
    /// A flag on the command line.
    Flag(String),
}

impl Origin {
    /// A path that was set here: in a file it starts at the file's folder, elsewhere at the working
    /// directory.
    pub(crate) fn place(&self, path: &Path) -> PathBuf {
        match self {
            Self::File { path: file, .. } => {
                file.parent().map_or_else(|| path.to_owned(), |folder| folder.join(path))
            }
            Self::Default | Self::Env(_) | Self::Flag(_) => path.to_owned(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("not set"),
            Self::File { path, line } => write!(f, "{} line {line}", path.display()),
            Self::Env(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// One mistake.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mistake {
    /// The key, as the file names it.
    pub key: String,
    /// Where the value was set.
    pub origin: Origin,
    /// What is wrong; never contains a secret.
    pub wrong: String,
    /// What is allowed.
    pub allowed: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}\n    allowed: {}", self.key, self.origin, self.wrong, self.allowed)
    }
}

/// All mistakes together. Never empty.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("the configuration has a mistake:\n")?,
            count => writeln!(f, "the configuration has {count} mistakes:")?,
        }
        for mistake in &self.0 {
            write!(f, "\n  {mistake}")?;
        }
        Ok(())
    }
}

impl core::error::Error for Mistakes {}
