//! The filter language: what it means, where its mistakes are, how its connections are found.

mod errors;
mod meaning;
mod oracle;
mod reach;
mod someone;
