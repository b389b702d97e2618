//! Checks whether a shard still takes its turns: it is asked and has to answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tokio::sync::watch;
use tokio::time::timeout;

/// The question to one shard. At most one is in its inbox, however many callers ask.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    asked: AtomicBool,
    answered: watch::Sender<()>,
}

impl Pulse {
    /// Answers: the shard has reached the question in its inbox.
    pub(crate) fn answer(&self) {
        self.asked.store(false, Ordering::Release);
        self.answered.send_replace(());
    }

    /// Whether the shard answers within that time. A shard that has ended does not.
    pub(crate) async fn ask<C: From<Arc<Self>>>(
        self: Arc<Self>,
        shard: Sender<C>,
        longest: Duration,
    ) -> bool {
        // Subscribed before the question is sent, so that no answer is missed.
        let mut answered = self.answered.subscribe();
        let answer = async {
            let Ok(room) = shard.reserve().await else { return false };
            if !self.asked.swap(true, Ordering::AcqRel) {
                room.send(C::from(Arc::clone(&self)));
            }
            answered.changed().await.is_ok()
        };
        timeout(longest, answer).await.unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    fn ask(pulse: &Arc<Pulse>, shard: &Sender<Arc<Pulse>>) -> tokio::task::JoinHandle<bool> {
        tokio::task::spawn(Arc::clone(pulse).ask(shard.clone(), Duration::from_secs(5)))
    }

    fn take(inbox: &mut mpsc::Receiver<Arc<Pulse>>) -> Arc<Pulse> {
        inbox.try_recv().expect("a question")
    }

    #[tokio::test(start_paused = true)]
    async fn many_who_ask_share_a_question_and_its_answer() {
        let pulse = Arc::new(Pulse::default());
        let (shard, mut inbox) = mpsc::channel(4);
        let asking = [ask(&pulse, &shard), ask(&pulse, &shard), ask(&pulse, &shard)];
        tokio::task::yield_now().await;
        take(&mut inbox).answer();
        assert!(inbox.try_recv().is_err(), "one question is enough");
        for asked in asking {
            assert!(asked.await.expect("it does not panic"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_shard_that_does_not_come_to_it_is_silent_until_it_does() {
        let pulse = Arc::new(Pulse::default());
        let (shard, mut inbox) = mpsc::channel(1);
        assert!(!ask(&pulse, &shard).await.expect("it does not panic"), "the question waits");
        assert!(!ask(&pulse, &shard).await.expect("it does not panic"), "the inbox is full");
        take(&mut inbox).answer();
        let asked = ask(&pulse, &shard);
        tokio::task::yield_now().await;
        take(&mut inbox).answer();
        assert!(asked.await.expect("it does not panic"));
        drop(inbox);
        assert!(!ask(&pulse, &shard).await.expect("it does not panic"), "it has ended");
    }
}
