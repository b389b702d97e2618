//! App servers that answer handshakes promptly, late, or not at all, in virtual time.

use std::time::Duration;

use trunkline_clock::Timestamp;
use trunkline_switchboard::affinity::{Advice, Hang, Patience, Promptness, Standing};

const PATIENCE: Patience = Patience { silent_after: Duration::from_secs(1) };

fn at(millis: u64) -> Timestamp {
    Timestamp::from_micros(millis * 1000)
}

/// One app server with its behaviour, and one handshake that waits for it.
struct Scene {
    promptness: Promptness,
    heard_at: Timestamp,
    /// The time that it takes to answer a ping; `None`: it answers no ping.
    pong_after: Option<u64>,
}

impl Scene {
    fn new(pong_after: Option<u64>) -> Self {
        Self { promptness: Promptness::default(), heard_at: at(0), pong_after }
    }

    /// Gives it the handshake at `from`, then looks when advised, until the handshake must leave or
    /// until `to`.
    fn wait(&mut self, from: u64, to: u64) -> Option<(u64, Option<Hang>)> {
        self.promptness.asked(at(from));
        self.look(from, Promptness::first_look(at(from), PATIENCE), to)
    }

    fn look(&mut self, asked: u64, mut now: Timestamp, to: u64) -> Option<(u64, Option<Hang>)> {
        let mut pong_at = None;
        while now < at(to) {
            if let Some(pong) = pong_at.filter(|pong| *pong <= now) {
                self.heard_at = pong;
                pong_at = None;
            }
            now = match self.promptness.advise(now, at(asked), self.heard_at, PATIENCE) {
                Advice::Leave { ejected } => return Some((now.as_micros() / 1000, ejected)),
                Advice::Wait { until } => until,
                Advice::Call { until } => {
                    pong_at = self.pong_after.map(|after| now + Duration::from_millis(after));
                    until
                }
            };
        }
        None
    }

    fn standing(&self, now: u64) -> Standing {
        self.promptness.standing(at(now), PATIENCE)
    }
}

#[test]
fn an_app_server_without_a_sign_of_life_is_left_within_a_second() {
    let mut scene = Scene::new(None);
    assert_eq!(scene.wait(0, 60_000), Some((1_000, Some(Hang::Silent))));
    assert_eq!(scene.standing(1_001), Standing::Ejected);
    assert_eq!(scene.standing(600_000), Standing::Ejected, "nothing has come from it since");
}

#[test]
fn those_who_come_while_it_hangs_do_not_put_its_ejection_off() {
    let mut scene = Scene::new(None);
    scene.promptness.asked(at(0));
    let mut looks: Vec<(Timestamp, u64)> = vec![(at(400), 0)];
    let mut ejected_at = None;
    for now in 0..3_000 {
        if now > 0 && now % 50 == 0 && ejected_at.is_none() {
            scene.promptness.asked(at(now));
            looks.push((Promptness::first_look(at(now), PATIENCE), now));
        }
        for (look_at, asked) in &mut looks {
            if *look_at != at(now) {
                continue;
            }
            match scene.promptness.advise(at(now), at(*asked), scene.heard_at, PATIENCE) {
                Advice::Leave { ejected } => ejected_at = ejected_at.or(ejected.map(|_| now)),
                Advice::Wait { until } | Advice::Call { until } => *look_at = until,
            }
        }
    }
    assert_eq!(ejected_at, Some(1_000));
}

#[test]
fn newcomers_go_to_others_before_it_is_clear_that_it_hangs() {
    let mut scene = Scene::new(None);
    scene.promptness.asked(at(0));
    assert_eq!(scene.standing(250), Standing::Prompt);
    assert_eq!(scene.standing(251), Standing::Late);
}

#[test]
fn an_app_server_that_answers_pings_has_five_times_as_long() {
    let mut scene = Scene::new(Some(3));
    assert_eq!(scene.wait(0, 60_000), Some((5_000, Some(Hang::Unanswered))));
}

#[test]
fn a_slow_answer_of_an_app_server_that_lives_is_waited_for() {
    let mut scene = Scene::new(Some(3));
    assert_eq!(scene.wait(0, 3_000), None);
    assert!(!scene.promptness.answered(at(3_000), at(0)));
    assert_eq!(scene.standing(3_000), Standing::Prompt);
}

#[test]
fn answers_to_others_show_that_handshakes_are_being_answered() {
    let mut scene = Scene::new(Some(3));
    scene.promptness.asked(at(0));
    // One handshake hangs and all others are answered: the cause is that client, not the app
    // server.
    for now in (100..30_000).step_by(100) {
        scene.promptness.asked(at(now));
        scene.promptness.answered(at(now + 5), at(now));
        scene.heard_at = at(now + 5);
        let advice = scene.promptness.advise(at(now + 6), at(0), scene.heard_at, PATIENCE);
        assert!(matches!(advice, Advice::Wait { .. }), "{now}: {advice:?}");
        assert_eq!(scene.standing(now + 6), Standing::Prompt);
    }
}

#[test]
fn where_answers_usually_take_long_they_may() {
    let mut scene = Scene::new(Some(3));
    scene.promptness.asked(at(0));
    scene.promptness.answered(at(4_000), at(0));
    scene.promptness.asked(at(10_000));
    assert_eq!(scene.standing(20_000), Standing::Prompt);
    scene.heard_at = at(10_000);
    assert_eq!(scene.look(10_000, at(10_400), 60_000), Some((26_000, Some(Hang::Unanswered))));
}

#[test]
fn any_frame_brings_a_silent_one_back() {
    let mut scene = Scene::new(None);
    assert!(scene.wait(0, 60_000).is_some());
    assert!(scene.promptness.is_ejected());
    assert!(scene.promptness.heard(at(7_000)));
    assert!(!scene.promptness.heard(at(7_001)), "said once");
    assert_eq!(scene.standing(7_100), Standing::Prompt, "it has what has gathered to work off");
    scene.promptness.withdrawn();
    assert_eq!(scene.standing(60_000), Standing::Prompt);
}

#[test]
fn pings_alone_do_not_bring_one_back_that_answers_no_handshakes() {
    let mut scene = Scene::new(Some(3));
    assert!(scene.wait(0, 60_000).is_some());
    assert!(!scene.promptness.heard(at(6_000)));
    assert_eq!(scene.standing(14_999), Standing::Ejected);
    // After a while it gets one handshake on trial, and only one.
    assert_eq!(scene.standing(15_000), Standing::Prompt);
    scene.promptness.asked(at(15_000));
    assert_eq!(scene.standing(15_001), Standing::Ejected);
    scene.heard_at = at(15_001);
    assert_eq!(scene.look(15_000, at(15_400), 60_000), Some((20_000, None)), "in vain");
    assert_eq!(scene.standing(34_999), Standing::Ejected, "the next trial comes later");
    assert_eq!(scene.standing(35_000), Standing::Prompt);
    scene.promptness.asked(at(35_000));
    assert!(scene.promptness.answered(at(35_010), at(35_000)), "it is back");
    assert_eq!(scene.standing(35_011), Standing::Prompt);
}

#[test]
fn those_who_wait_when_it_is_ejected_leave_at_their_next_look() {
    for pong_after in [None, Some(3)] {
        let mut scene = Scene::new(pong_after);
        scene.promptness.asked(at(4_900));
        let (left, _) = scene.wait(0, 60_000).expect("it hangs");
        let later = at(left + 1);
        let advice = scene.promptness.advise(later, at(900), scene.heard_at, PATIENCE);
        assert_eq!(advice, Advice::Leave { ejected: None });
    }
}

#[test]
fn a_node_that_stood_still_itself_asks_again() {
    let mut scene = Scene::new(None);
    scene.promptness.asked(at(0));
    let advice = scene.promptness.advise(at(400), at(0), at(0), PATIENCE);
    assert_eq!(advice, Advice::Call { until: at(1_000) });
    let advice = scene.promptness.advise(at(9_000), at(0), at(0), PATIENCE);
    // A handshake without an answer for so long proves a hang only if the caller looked in time.
    assert_eq!(advice, Advice::Call { until: at(9_600) });
}

#[test]
fn clients_that_go_away_leave_no_blame_once_the_app_server_has_taken_note() {
    let mut scene = Scene::new(Some(3));
    scene.promptness.asked(at(0));
    assert_eq!(scene.standing(5_000), Standing::Late);
    scene.promptness.withdrawn();
    assert_eq!(scene.standing(5_001), Standing::Prompt);
    scene.promptness.withdrawn();
}
