//! Which app server a new session goes to.

mod promptness;

pub use promptness::{Advice, Hang, Patience, Promptness, Standing};

use crate::ServerKey;

/// Remembers the last choice, so that equally loaded app servers take turns.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cursor {
    last: Option<ServerKey>,
}

/// One app server that could take a session.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// The app server's number.
    pub server: ServerKey,
    /// How promptly the app server answers. A better standing counts more than any load.
    pub standing: Standing,
    /// The number of its sessions.
    pub load: u32,
}

/// Picks the app server with the fewest sessions among those of the best standing. Equal ones take
/// turns in the order of their keys, whatever the order of `candidates`.
///
/// `None` when there is no app server.
pub fn pick(
    cursor: &mut Cursor,
    candidates: impl IntoIterator<Item = Candidate>,
) -> Option<ServerKey> {
    let last = cursor.last;
    let turn = |server: ServerKey| (last.is_some_and(|last| server <= last), server);
    let rank = |one: &Candidate| (one.standing, one.load, turn(one.server));
    let server = candidates.into_iter().min_by_key(rank)?.server;
    cursor.last = Some(server);
    Some(server)
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    const A: ServerKey = ServerKey(3);
    const B: ServerKey = ServerKey(5);
    const C: ServerKey = ServerKey(9);

    fn prompt(server: ServerKey, load: u32) -> Candidate {
        Candidate { server, standing: Standing::Prompt, load }
    }

    #[test]
    fn fewest_sessions_win_whatever_the_cursor_says() {
        let mut cursor = Cursor::default();
        for _ in 0..3 {
            let candidates = [prompt(A, 2), prompt(B, 1), prompt(C, 2)];
            assert_eq!(pick(&mut cursor, candidates), Some(B));
        }
        assert_eq!(pick(&mut cursor, []), None);
    }

    #[test]
    fn ties_take_turns_whatever_the_order_of_the_list() {
        let mut cursor = Cursor::default();
        let lists = [[A, B, C], [C, B, A], [B, C, A], [B, A, C], [C, A, B], [A, C, B]];
        let picks = lists.map(|list| pick(&mut cursor, list.map(|server| prompt(server, 7))));
        assert_eq!(picks, [A, B, C, A, B, C].map(Some));
    }

    #[test]
    fn a_turn_passes_over_a_server_that_left_or_is_busier() {
        let mut cursor = Cursor::default();
        let at_zero = |servers: &[ServerKey]| servers.iter().map(|one| prompt(*one, 0)).collect();
        let mut pick = |candidates: Vec<Candidate>| pick(&mut cursor, candidates);
        assert_eq!(pick(at_zero(&[A, B, C])), Some(A));
        assert_eq!(pick(at_zero(&[A, C])), Some(C));
        assert_eq!(pick(vec![prompt(A, 1), prompt(B, 0), prompt(C, 0)]), Some(B));
    }

    #[test]
    fn a_better_standing_counts_for_more_than_any_load() {
        let mut cursor = Cursor::default();
        let standings = [Standing::Ejected, Standing::Late, Standing::Prompt];
        let candidates = |count| {
            let servers = [A, B, C].into_iter().zip(standings).zip([0, 5, 900]).take(count);
            servers.map(|((server, standing), load)| Candidate { server, standing, load })
        };
        assert_eq!(pick(&mut cursor, candidates(3)), Some(C));
        assert_eq!(pick(&mut cursor, candidates(2)), Some(B));
        assert_eq!(pick(&mut cursor, candidates(1)), Some(A), "a bad choice is better than none");
    }
}
