//! Which app server a new session goes to.

mod promptness;

pub use promptness::{Advice, Hang, Patience, Promptness, Standing};

use core::cmp::Ordering;

use crate::ServerKey;

/// Up to so many app servers are all compared by a node that is not the only one to choose.
const COMPARED_MAX: usize = 8;

/// Remembers the last choice, so that equally loaded app servers take turns.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cursor {
    last: Option<ServerKey>,
    /// Counts random choices.
    random: u64,
}

impl Cursor {
    /// A cursor whose random choices follow from this seed.
    pub const fn seeded(seed: u64) -> Self {
        Self { last: None, random: seed }
    }

    /// A number below `end`, which is not 0.
    fn below(&mut self, end: usize) -> usize {
        // SplitMix64.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % end as u64).unwrap_or_default()
    }
}

/// What an app server last said of its sessions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Told {
    /// Its sessions over all nodes.
    pub sessions: u32,
    /// Its sessions on this node at that time.
    pub own: u32,
}

/// The sessions of an app server over all nodes, as one node can tell: what it said, and what has
/// come and gone here since then, for each node, because each sees about the same. `own` are its
/// sessions on this node now.
pub fn sessions_over_all(own: u32, told: Option<Told>, nodes: u32) -> u32 {
    let Told { sessions, own: before } = told.unwrap_or(Told { sessions: 0, own: 0 });
    let more = own.saturating_sub(before).saturating_mul(nodes);
    let fewer = before.saturating_sub(own).saturating_mul(nodes);
    sessions.saturating_add(more).saturating_sub(fewer).max(own)
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

/// Like [`pick`], for one of several nodes that pick from the same app servers and cannot know one
/// another's latest picks. Of more than a few app servers only two are compared, which chance
/// chooses: otherwise all nodes would send their next sessions to the same one.
pub fn pick_of_two(
    cursor: &mut Cursor,
    candidates: impl Iterator<Item = Candidate> + Clone,
) -> Option<ServerKey> {
    let best = candidates.clone().map(|one| one.standing).min()?;
    let mut fit = candidates.clone().filter(|one| one.standing == best);
    let count = fit.clone().count();
    if count <= COMPARED_MAX {
        return pick(cursor, candidates);
    }
    let first = cursor.below(count);
    let other = cursor.below(count - 1);
    let other = if other < first { other } else { other + 1 };
    let (low, high) = (first.min(other), first.max(other));
    let one = fit.nth(low)?;
    let two = fit.nth(high - low - 1)?;
    // Of equals, the one that was drawn first.
    let server = match one.load.cmp(&two.load) {
        Ordering::Less => one.server,
        Ordering::Greater => two.server,
        Ordering::Equal if first < other => one.server,
        Ordering::Equal => two.server,
    };
    cursor.last = Some(server);
    Some(server)
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
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
    fn what_was_told_counts_with_what_came_and_went_here_since_on_every_node() {
        let told = |sessions, own| Some(Told { sessions, own });
        assert_eq!(sessions_over_all(5, None, 3), 15, "it said nothing");
        assert_eq!(sessions_over_all(5, told(30, 5), 3), 30);
        assert_eq!(sessions_over_all(7, told(30, 5), 3), 36);
        assert_eq!(sessions_over_all(2, told(30, 5), 3), 21);
        assert_eq!(sessions_over_all(40, told(0, 40), 3), 40, "these it has in any case");
        assert_eq!(sessions_over_all(u32::MAX, told(u32::MAX, 0), 3), u32::MAX);
    }

    #[test]
    fn few_are_all_compared_and_of_many_the_better_of_two() {
        let servers = |count| (0..count).map(|at| prompt(ServerKey(at), u32::from(at != 4)));
        let mut cursor = Cursor::seeded(1);
        for _ in 0..100 {
            assert_eq!(pick_of_two(&mut cursor, servers(8)), Some(ServerKey(4)));
        }
        assert_eq!(pick_of_two(&mut cursor, servers(0)), None);
        let mut picks = BTreeMap::new();
        for _ in 0..9_000 {
            *picks.entry(pick_of_two(&mut cursor, servers(9))).or_insert(0) += 1;
        }
        // It is one of two in two of nine cases, and then wins.
        let fewest = picks[&Some(ServerKey(4))];
        assert!((1_700..2_300).contains(&fewest), "{picks:?}");
        assert_eq!(picks.len(), 9, "the others get sessions, too");
        assert!(picks.values().all(|count| *count > 600), "{picks:?}");
    }

    #[test]
    fn of_many_only_those_of_the_best_standing_are_compared() {
        let mut cursor = Cursor::seeded(7);
        let servers = (0..30).map(|at| {
            let standing = if at % 3 == 0 { Standing::Late } else { Standing::Prompt };
            Candidate { server: ServerKey(at), standing, load: u32::from(at % 3 != 0) }
        });
        for _ in 0..1_000 {
            let picked = pick_of_two(&mut cursor, servers.clone()).expect("there are many");
            assert!(picked.0 % 3 != 0, "{picked:?}");
        }
    }

    #[test]
    fn nodes_with_other_seeds_do_not_choose_alike() {
        let servers = (0..100).map(|at| prompt(ServerKey(at), 0));
        let picks = |seed| -> Vec<_> {
            let mut cursor = Cursor::seeded(seed);
            (0..20).map(|_| pick_of_two(&mut cursor, servers.clone())).collect()
        };
        assert_eq!(picks(1), picks(1));
        assert_ne!(picks(1), picks(2));
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
