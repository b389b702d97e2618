//! The filter language: its meaning, the positions of mistakes, and how connections are found.

mod errors;
mod meaning;
mod oracle;
mod reach;
mod someone;
