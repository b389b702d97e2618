//! The data plane's requests and answers, whether they come over a tunnel or over HTTP.

mod answer;

pub(crate) use answer::Answer;
