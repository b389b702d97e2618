//! What can be wrong with a configuration, said so that it can be put right without looking anything up.

use core::fmt;
use std::path::{Path, PathBuf};

/// Where a value was set.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Origin {
    /// Nowhere: the default holds.
    Default,
    /// In a file, at a line that counts from 1.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// Counts from 1.
        line: usize,
    },
    /// In an environment variable.
    Env(String),
    /// By a flag on the command line.
    Flag(String),
}

impl Origin {
    /// A path that was set here: in a file it counts from the file's folder, elsewhere from the working directory.
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

/// One thing that is wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mistake {
    /// The key, as the file names it.
    pub key: String,
    /// Where the value was set.
    pub origin: Origin,
    /// What is wrong; never holds a secret.
    pub wrong: String,
    /// What would be right.
    pub allowed: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}\n    allowed: {}", self.key, self.origin, self.wrong, self.allowed)
    }
}

/// All that is wrong, at once. Never empty.
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
