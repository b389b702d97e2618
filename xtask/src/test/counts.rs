//! Counts of tests, read from the output of each runner.

/// Tests that passed, failed, and were skipped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) skipped: u64,
}

impl Counts {
    pub(super) fn one(passed: bool) -> Self {
        Self { passed: passed.into(), failed: (!passed).into(), skipped: 0 }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// Adds up every summary line that a runner prints: cargo's (one per test binary), `node:test`'s in
/// both of its styles, `ok <target> (N inputs)` per fuzz target, or a plain `N passed, N failed`,
/// which `, N skipped` may follow.
pub(super) fn parse(lines: &[String]) -> Counts {
    let mut counts = Counts::default();
    for line in lines {
        let line = line.trim();
        if let Some(result) = line.strip_prefix("test result: ") {
            counts.add(tally(result));
        } else if let Some(found) = node(line) {
            counts.add(found);
        } else if let Some(held) = fuzz(line) {
            counts.add(Counts::one(held));
        } else if is_plain_tally(line) {
            counts.add(tally(line));
        }
    }
    counts
}

/// The number of tests with a result so far: the lines that runners print for each test.
pub(super) fn seen(lines: &[String]) -> usize {
    lines.iter().filter(|line| is_answer(line.trim_start())).count()
}

fn is_answer(line: &str) -> bool {
    let node = ["✔ ", "✖ ", "ok ", "not ok "];
    node.iter().any(|mark| line.starts_with(mark))
        || line.starts_with("test ") && line.contains(" ... ")
}

/// The name of the failed test in a line.
pub(super) fn failed(line: &str) -> Option<&str> {
    let tap = line.strip_prefix("not ok ");
    let tap = tap.map(|rest| rest.split_once(" - ").map_or(rest, |(_, name)| name));
    let rust = || line.strip_prefix("test ")?.strip_suffix(" ... FAILED");
    // The heading above the list at the end, which repeats the failed tests.
    let spec = || line.strip_prefix("✖ ").filter(|name| *name != "failing tests:");
    tap.filter(|name| !name.to_ascii_lowercase().contains("# todo")).or_else(spec).or_else(rust)
}

/// `# pass 12` or `ℹ pass 12`, at the end of a run of `node --test`.
fn node(line: &str) -> Option<Counts> {
    let (word, number) = line.strip_prefix("# ").or(line.strip_prefix("ℹ "))?.split_once(' ')?;
    let number: u64 = number.parse().ok()?;
    match word {
        "pass" => Some(Counts { passed: number, ..Counts::default() }),
        // A cancelled test never had a result.
        "fail" | "cancelled" => Some(Counts { failed: number, ..Counts::default() }),
        "skipped" | "todo" => Some(Counts { skipped: number, ..Counts::default() }),
        _ => None,
    }
}

/// Whether a fuzz target held: `ok <target> (N inputs)` or `FAILED <target> seed …`.
fn fuzz(line: &str) -> Option<bool> {
    match line.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["ok", _, _, "inputs)"] => Some(true),
        ["FAILED", _, "seed", ..] => Some(false),
        _ => None,
    }
}

fn is_plain_tally(line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    let number = |word: &str| word.parse::<u64>().is_ok();
    match words.as_slice() {
        [passed, "passed,", failed, "failed"] => number(passed) && number(failed),
        [passed, "passed,", failed, "failed,", skipped, "skipped"] => {
            number(passed) && number(failed) && number(skipped)
        }
        _ => false,
    }
}

/// The numbers before `passed`, `failed`, and `ignored` or `skipped`.
fn tally(text: &str) -> Counts {
    let words: Vec<&str> =
        text.split([' ', ';', ',', '.']).filter(|word| !word.is_empty()).collect();
    let before = |name: &str| {
        let at = words.iter().position(|word| *word == name);
        let number = at.and_then(|at| words.get(at.checked_sub(1)?));
        number.and_then(|number| number.parse().ok()).unwrap_or(0)
    };
    Counts {
        passed: before("passed"),
        failed: before("failed"),
        skipped: before("ignored") + before("skipped"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Counts, parse, seen};

    #[test]
    fn each_runner_is_understood() {
        let cases: &[(&str, (u64, u64, u64))] = &[
            (
                "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out",
                (12, 0, 1),
            ),
            ("test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured", (1, 2, 0)),
            ("test result: ok. 1 passed; 0 failed\ntest result: ok. 2 passed; 0 failed", (3, 0, 0)),
            ("# tests 5\n# suites 1\n# pass 3\n# fail 1\n# cancelled 1\n# skipped 2", (3, 2, 2)),
            ("ℹ tests 4\nℹ pass 4\nℹ fail 0\nℹ duration_ms 12.5", (4, 0, 0)),
            ("ok trunk_decode (20000 inputs)\nFAILED ws seed 1 input 00ff\nok then", (1, 1, 0)),
            ("a b c\n17 passed, 3 failed", (17, 3, 0)),
            ("4 passed, 1 failed, 2 skipped\n4 passed, 1 failed, 2 of them skipped", (4, 1, 2)),
            (
                "nothing here\n3 passed, of which 2 failed\npassed, failed\n# pass the salt",
                (0, 0, 0),
            ),
        ];
        for (text, (passed, failed, skipped)) in cases {
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            let expected = Counts { passed: *passed, failed: *failed, skipped: *skipped };
            assert_eq!(parse(&lines), expected, "{text}");
        }
    }
    #[test]
    fn answers_are_seen_as_they_come() {
        let lines =
            ["test a::b ... ok", "running 2 tests", "✔ connect (12ms)", "not ok 3 - x", "ok then"];
        assert_eq!(seen(&lines.map(str::to_owned)), 4);
    }
}
