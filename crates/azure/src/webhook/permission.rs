//! Whether a handler accepts events: the abuse protection of CloudEvents. A handler is asked once,
//! before its first event, and again after an answer other than yes.

use core::time::Duration;
use std::time::Instant;

use hyper::header::HeaderMap;
use tokio::sync::watch;

use super::attempt::Reply;

/// The time after a refusal before the handler is asked again.
const REFUSAL_STANDS: Duration = Duration::from_secs(5);

/// The known permission of a handler.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Known {
    Nothing,
    Asking,
    Granted,
    Refused(Instant),
}

/// The result of asking.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Asked {
    Granted,
    /// The handler did not allow events.
    Refused,
    /// There was no answer, or a server error: the permission is unknown.
    Unknown,
}

/// One handler's permission. One caller asks the handler; the others wait for it.
#[derive(Debug)]
pub(super) struct Permission(watch::Sender<Known>);

impl Permission {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(Known::Nothing))
    }

    /// The known permission, or the result of `ask`.
    pub(super) async fn get(&self, ask: impl AsyncFnOnce() -> Asked) -> Asked {
        let mut known = self.0.subscribe();
        loop {
            let mut mine = false;
            self.0.send_if_modified(|known| {
                mine = match *known {
                    Known::Nothing => true,
                    Known::Refused(at) => at.elapsed() >= REFUSAL_STANDS,
                    Known::Asking | Known::Granted => false,
                };
                if mine {
                    *known = Known::Asking;
                }
                false
            });
            if mine {
                return Guard(&self.0).settle(ask().await);
            }
            let now = *known.borrow_and_update();
            match now {
                Known::Granted => return Asked::Granted,
                Known::Refused(_) => return Asked::Refused,
                // The sender lives as long as `self`.
                Known::Asking => drop(known.changed().await),
                Known::Nothing => (),
            }
        }
    }
}

/// Lets another caller ask when the asking one is dropped meanwhile.
struct Guard<'a>(&'a watch::Sender<Known>);

impl Guard<'_> {
    fn settle(self, asked: Asked) -> Asked {
        let known = match asked {
            Asked::Granted => Known::Granted,
            Asked::Refused => Known::Refused(Instant::now()),
            Asked::Unknown => Known::Nothing,
        };
        self.0.send_replace(known);
        asked
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.send_if_modified(|known| {
            let abandoned = *known == Known::Asking;
            if abandoned {
                *known = Known::Nothing;
            }
            abandoned
        });
    }
}

/// Whether the answer to the question lets this origin send events.
pub(super) fn granted(reply: &Reply, origin: &str) -> bool {
    (200..300).contains(&reply.status) && allows(&reply.headers, origin)
}

/// `WebHook-Allowed-Origin` is `*` or names us, alone or in a list.
fn allows(headers: &HeaderMap, origin: &str) -> bool {
    let values = headers.get_all("webhook-allowed-origin").into_iter();
    let mut names =
        values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    names.any(|name| matches!(name.trim(), "*") || name.trim().eq_ignore_ascii_case(origin))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn a_handler_says_whom_it_allows() {
        let cases = [
            (None, false),
            (Some("*"), true),
            (Some("node.example.com"), true),
            (Some("NODE.example.com"), true),
            (Some("a.example.com, node.example.com"), true),
            (Some("example.com"), false),
            (Some(""), false),
        ];
        for (value, expected) in cases {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert("webhook-allowed-origin", HeaderValue::from_static(value));
            }
            assert_eq!(allows(&headers, "node.example.com"), expected, "{value:?}");
        }
    }

    #[tokio::test]
    async fn everybody_waits_for_the_one_who_asks() {
        let permission = Permission::new();
        let (done, wait) = tokio::sync::oneshot::channel::<()>();
        let first = permission.get(async || {
            wait.await.expect("it is sent");
            Asked::Granted
        });
        let second = permission.get(async || panic!("only one asks"));
        let third = async {
            tokio::task::yield_now().await;
            done.send(()).expect("the first waits");
        };
        let (first, second, ()) = tokio::join!(first, second, third);
        assert_eq!((first, second), (Asked::Granted, Asked::Granted));
    }

    #[tokio::test]
    async fn a_refusal_stands_a_while_and_a_failure_does_not() {
        let permission = Permission::new();
        assert_eq!(permission.get(async || Asked::Unknown).await, Asked::Unknown);
        assert_eq!(permission.get(async || Asked::Refused).await, Asked::Refused);
        assert_eq!(permission.get(async || panic!("it stands")).await, Asked::Refused);
    }

    #[tokio::test]
    async fn one_who_asks_and_goes_leaves_the_question_to_the_next() {
        let permission = Permission::new();
        let lost = permission.get(async || std::future::pending().await);
        assert!(tokio::time::timeout(Duration::from_millis(1), lost).await.is_err());
        assert_eq!(permission.get(async || Asked::Granted).await, Asked::Granted);
    }
}
