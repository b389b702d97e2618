//! The two lanes of a run: steps of one lane run one after another, and the lanes beside each
//! other. Compilers keep every core busy, while most tests wait; so each lane fills the time that
//! the other leaves.

use std::sync::{Condvar, Mutex, PoisonError};

use super::steps::Step;

/// Which steps a step runs beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// What compiles. Its commands have a low priority, so that the tests of the other lane
    /// are not late.
    Cargo,
    /// What waits: for sockets, timers, and the network.
    Node,
}

const LANES: [Lane; 2] = [Lane::Cargo, Lane::Node];

/// Runs `each` for every step, and returns when all have ended. A step begins when all before it
/// in its lane have ended, and those of the other lane that it names in `after`.
pub(super) fn run(steps: &[&Step], each: impl Fn(&Step) + Sync) {
    let open = Open {
        steps: Mutex::new(steps.iter().map(|step| step.name).collect()),
        one_ended: Condvar::new(),
    };
    std::thread::scope(|scope| {
        for lane in LANES {
            let (open, each) = (&open, &each);
            scope.spawn(move || {
                for step in of_lane(steps, lane) {
                    open.wait_for(step.after);
                    let _ends = Ends { open, name: step.name };
                    each(step);
                }
            });
        }
    });
}

/// The steps of one lane, in their order.
pub(super) fn of_lane<'a>(steps: &'a [&'a Step], lane: Lane) -> impl Iterator<Item = &'a Step> {
    steps.iter().copied().filter(move |step| step.lane == lane)
}

/// The longer lane's time, when each step takes `takes`.
pub(super) fn longest<T: Ord + std::iter::Sum + Default>(
    steps: &[&Step],
    takes: impl Fn(&Step) -> T,
) -> T {
    LANES.into_iter().map(|lane| of_lane(steps, lane).map(&takes).sum()).max().unwrap_or_default()
}

/// The steps that have not ended.
struct Open {
    steps: Mutex<Vec<&'static str>>,
    one_ended: Condvar,
}

impl Open {
    /// Waits until all of `names` have ended, or were never to run.
    fn wait_for(&self, names: &[&str]) {
        let steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = |steps: &mut Vec<&str>| steps.iter().any(|open| names.contains(open));
        drop(self.one_ended.wait_while(steps, waits));
    }
}

/// Ends a step when it goes out of scope: also when the step panics, for the other lane may wait.
struct Ends<'a> {
    open: &'a Open,
    name: &'static str,
}

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        let mut steps = self.open.steps.lock().unwrap_or_else(PoisonError::into_inner);
        steps.retain(|open| *open != self.name);
        self.open.one_ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Duration;

    use super::{LANES, Lane, longest, of_lane, run};
    use crate::test::steps::{STEPS, Step};

    fn step(name: &'static str, lane: Lane, after: &'static [&'static str]) -> Step {
        Step { name, what: "", lane, after, usual_s: 1, works: || Ok(Vec::new()) }
    }

    /// What began and what ended, in order.
    fn played(steps: &[&Step]) -> Vec<String> {
        let seen = Mutex::new(Vec::new());
        run(steps, |step| {
            seen.lock().unwrap().push(format!("begins {}", step.name));
            // Long enough for the other lane to begin what it should not.
            std::thread::sleep(Duration::from_millis(5));
            seen.lock().unwrap().push(format!("ends {}", step.name));
        });
        seen.into_inner().unwrap()
    }

    fn at(seen: &[String], what: &str) -> usize {
        seen.iter().position(|one| one == what).unwrap_or_else(|| panic!("{what} in {seen:?}"))
    }

    #[test]
    fn the_lanes_run_beside_each_other() {
        let (cargo, node) = (step("cargo", Lane::Cargo, &[]), step("node", Lane::Node, &[]));
        // Each step waits for a word of the other: one after another, neither would end.
        let pair = |(to, from): (Sender<()>, Receiver<()>)| (Mutex::new(to), Mutex::new(from));
        let (first, second) = (channel(), channel());
        let ends = [pair((first.0, second.1)), pair((second.0, first.1))];
        let met = Mutex::new(0);
        run(&[&cargo, &node], |step| {
            let (to, from) = &ends[usize::from(step.lane == Lane::Node)];
            to.lock().unwrap().send(()).unwrap();
            let word = from.lock().unwrap().recv_timeout(Duration::from_secs(30));
            *met.lock().unwrap() += usize::from(word.is_ok());
        });
        assert_eq!(met.into_inner().unwrap(), 2);
    }

    #[test]
    fn a_step_begins_when_those_before_it_have_ended() {
        let steps = [
            step("a", Lane::Cargo, &[]),
            step("b", Lane::Cargo, &[]),
            step("c", Lane::Node, &["b"]),
            step("d", Lane::Node, &["a", "a step that was not asked for"]),
        ];
        let seen = played(&steps.iter().collect::<Vec<_>>());
        assert!(at(&seen, "ends a") < at(&seen, "begins b"), "{seen:?}");
        assert!(at(&seen, "ends b") < at(&seen, "begins c"), "{seen:?}");
        assert!(at(&seen, "ends c") < at(&seen, "begins d"), "{seen:?}");
    }

    #[test]
    fn a_step_that_panics_holds_the_other_lane_up_no_longer() {
        let steps = [step("a", Lane::Cargo, &[]), step("b", Lane::Node, &["a"])];
        let began = Mutex::new(Vec::new());
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            run(&steps.iter().collect::<Vec<_>>(), |step| {
                assert_ne!(step.name, "a", "a panics");
                began.lock().unwrap().push(step.name);
            });
        }));
        assert!(outcome.is_err());
        assert_eq!(began.into_inner().unwrap(), ["b"]);
    }

    #[test]
    fn no_two_steps_of_the_run_wait_for_each_other() {
        for (number, step) in STEPS.iter().enumerate() {
            assert!(
                !STEPS[..number].iter().any(|one| one.name == step.name),
                "{} twice",
                step.name
            );
            for name in step.after {
                // A step waits only for earlier ones: then the earliest that waits can always begin.
                let awaited = STEPS[..number].iter().find(|one| one.name == *name);
                let awaited = awaited.unwrap_or_else(|| panic!("{} is after {name}", step.name));
                assert_ne!(awaited.lane, step.lane, "{} is after {name} anyhow", step.name);
            }
        }
        let steps: Vec<&Step> = STEPS.iter().collect();
        assert_eq!(played(&steps).len(), 2 * STEPS.len());
    }

    #[test]
    fn the_time_of_a_run_is_that_of_the_longer_lane() {
        let steps =
            [step("a", Lane::Cargo, &[]), step("b", Lane::Node, &[]), step("c", Lane::Node, &[])];
        let steps: Vec<&Step> = steps.iter().collect();
        assert_eq!(longest(&steps, |_| Duration::from_secs(5)), Duration::from_secs(10));
        assert_eq!(LANES.map(|lane| of_lane(&steps, lane).count()), [1, 2]);
    }
}
