//! What waits for the cluster's thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::sync::mpsc::Receiver;
use tokio::sync::mpsc::error::TryRecvError;

use super::Input;

/// The thread's ends of [`super::Cluster`].
#[derive(Debug)]
pub(crate) struct Inputs {
    requests: Receiver<Input>,
    moves: Receiver<Input>,
    words: Receiver<Input>,
    drains: Arc<AtomicBool>,
}

impl Inputs {
    pub(super) fn new(
        requests: Receiver<Input>,
        moves: Receiver<Input>,
        words: Receiver<Input>,
        drains: Arc<AtomicBool>,
    ) -> Self {
        Self { requests, moves, words, drains }
    }

    /// Whether the node drains. No inbox can be too full for this word.
    pub(crate) fn drains(&self) -> bool {
        self.drains.load(Ordering::Acquire)
    }

    /// The next input: first those of moves, which are few, last the words of doors.
    pub(crate) fn try_recv(&mut self) -> Result<Input, TryRecvError> {
        let other = self.moves.try_recv().or_else(|_| self.requests.try_recv());
        other.or_else(|_| self.words.try_recv())
    }

    /// The same. The task is woken by each kind.
    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Input>> {
        let step = self.moves.poll_recv(cx);
        if step.is_ready() {
            return step;
        }
        let request = self.requests.poll_recv(cx);
        if request.is_ready() { request } else { self.words.poll_recv(cx) }
    }
}

#[cfg(test)]
mod tests {
    use trunkline_mesh::NodeState;

    use super::super::{Cluster, MoveKey, MoveStep};
    use super::*;

    #[test]
    fn a_full_inbox_delays_neither_moves_nor_the_word_that_the_node_drains() {
        let (cluster, mut inputs) = Cluster::new();
        while cluster.inbox.try_send(Input::OwnIds).is_ok() {}
        assert!(!inputs.drains());
        cluster.drain();
        assert!(inputs.drains());
        let key = MoveKey { from: None, id: 1 };
        assert!(cluster.send_step(key, MoveStep::Arrived));
        assert!(matches!(inputs.try_recv(), Ok(Input::Move { step: MoveStep::Arrived, .. })));
        assert!(matches!(inputs.try_recv(), Ok(Input::OwnIds)));
        cluster.drain();
        let all: Vec<Input> = std::iter::from_fn(|| inputs.try_recv().ok()).collect();
        assert!(matches!(all.last(), Some(Input::State(NodeState::Draining))), "it is woken");
    }
}
