//! How long steps take and how many tests they have: from the last run here, or from an idle
//! machine.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::steps::Step;
use crate::repo;

/// The expectations for a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usual {
    pub(super) takes: Duration,
    /// The number of tests; zero if no run has been counted here.
    pub(super) tests: u64,
}

/// The records of earlier runs in this target folder.
#[derive(Debug, Default)]
pub(super) struct Memory {
    steps: Value,
    /// The place where new records are kept, if anywhere.
    file: Option<PathBuf>,
}

fn file() -> PathBuf {
    repo::scratch().join("usual.json")
}

impl Memory {
    pub(super) fn read() -> Self {
        let text = std::fs::read_to_string(file()).unwrap_or_default();
        Self { steps: serde_json::from_str(&text).unwrap_or_default(), file: Some(file()) }
    }

    pub(super) fn of(&self, step: &Step) -> Usual {
        let known = &self.steps[step.name];
        let seconds = known["seconds"].as_u64().unwrap_or(step.usual_s);
        let tests = known["tests"].as_u64().unwrap_or_default();
        Usual { takes: Duration::from_secs(seconds), tests }
    }

    /// Records that a step succeeded, and its duration.
    pub(super) fn keep(&mut self, step: &Step, takes: Duration, tests: u64) {
        if !self.steps.is_object() {
            self.steps = Value::Object(serde_json::Map::new());
        }
        self.steps[step.name] =
            serde_json::json!({ "seconds": takes.as_secs().max(1), "tests": tests });
        // The record is only a convenience: a folder that is not writable will cause errors
        // elsewhere.
        let _ = self.file.as_ref().map(|file| std::fs::write(file, self.steps.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use super::{Memory, Usual};
    use crate::test::steps::STEPS;
    use std::time::Duration;

    #[test]
    fn what_is_not_known_is_as_on_a_quiet_machine() {
        let steps = serde_json::json!({ "fmt": { "seconds": 7, "tests": 3 } });
        let memory = Memory { steps, file: None };
        assert_eq!(memory.of(&STEPS[0]), Usual { takes: Duration::from_secs(7), tests: 3 });
        let usual = Memory::default().of(&STEPS[1]);
        assert_eq!(usual, Usual { takes: Duration::from_secs(STEPS[1].usual_s), tests: 0 });
        assert!(usual.takes > Duration::ZERO);
    }
}
