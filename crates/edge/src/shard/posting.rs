//! Posts whose bodies arrived together with their heads.

use bytes::Bytes;

use super::Shard;
use super::command::{Answer, Asked, Command, POST_TOO_LARGE, PostBegun, WholePost};
use crate::http::payload_of_form;
use crate::unavailable::Unavailable;

impl Shard {
    /// Begins a POST and handles its body at once. Without credit both wait.
    pub(super) fn post(&mut self, post: Box<WholePost>) {
        let Some((key, Command::Post(post))) = self.let_begin(Command::Post(post)) else { return };
        let Some(wanted) = self.want_body(key) else { return };
        let WholePost { binary, body, reply, .. } = *post;
        let (bounds, is_form) = match wanted {
            Ok(wanted) => wanted,
            Err(refused) => return drop(reply.send(refused.into_answer())),
        };
        match wanted_part(body, bounds.bytes_max, is_form) {
            Ok(body) => self.post_body(key, binary, body, reply),
            Err((answer, fault)) => {
                self.post_gone(key, fault);
                let _ = reply.send(answer);
            }
        }
    }
}

/// The packets in a body. The error: the answer to a post without them, and the reason if that ends
/// the session.
pub(crate) fn wanted_part(
    body: Bytes,
    bytes_max: usize,
    is_form: bool,
) -> Result<Bytes, (Answer, Option<&'static str>)> {
    if body.len() > bytes_max {
        return Err((Answer::Status(413), Some(POST_TOO_LARGE)));
    }
    if !is_form {
        return Ok(body);
    }
    // A form without the field carries no packets; the post still succeeds.
    payload_of_form(&body).ok_or((Answer::Ok { lasting: None }, None))
}

impl Command {
    /// The request, if the command begins a post.
    pub(super) fn post(&self) -> Option<&Asked> {
        if let Self::PostBegin { asked, .. } = self {
            Some(asked)
        } else if let Self::Post(post) = self {
            Some(&post.asked)
        } else {
            None
        }
    }

    /// Answers a post that does not begin.
    pub(super) fn refuse_post(self, begun: PostBegun) {
        if let Self::PostBegin { reply, .. } = self {
            let _ = reply.send(begun);
        } else if let Self::Post(post) = self {
            let _ = post.reply.send(begun.into_answer());
        }
    }
}

impl PostBegun {
    /// The answer to a post that is not wanted.
    pub(crate) fn into_answer(self) -> Answer {
        match self {
            Self::Refused(refusal) => Answer::Refused(refusal),
            Self::Status(code) => Answer::Status(code),
            Self::Unavailable(why) => Answer::Unavailable(why),
            Self::Wanted { .. } => Answer::Unavailable(Unavailable::OwnerLost),
        }
    }
}
