//! What the output of a failed command tells: the lines that explain it, and the tests that failed.

use super::counts;

/// The lines of a failed command that explain the failure: those after each failure, and the end.
pub(super) fn telling(lines: &[String]) -> impl Iterator<Item = &str> {
    const AFTER_MARK: usize = 20;
    const END: usize = 30;
    const SHOWN_MAX: usize = 300;
    let mut shown_until = 0;
    let numbered = lines.iter().enumerate();
    let kept = numbered.filter(move |(number, line)| {
        if tells_failure(line.trim_start()) {
            shown_until = number + AFTER_MARK;
        }
        *number < shown_until || number + END >= lines.len()
    });
    kept.map(|(_, line)| line.as_str()).take(SHOWN_MAX)
}

/// Whether a line reports a failure. The name of a test that passed may contain any word.
fn tells_failure(line: &str) -> bool {
    const STARTS: &[&str] = &["FAIL", "error", "thread '"];
    counts::failed(line).is_some() || STARTS.iter().any(|start| line.starts_with(start))
}

/// The names of the tests that failed, each with the first line of its error.
pub(super) fn failed_tests(lines: &[String]) -> Vec<String> {
    const NAMED_MAX: usize = 20;
    const ERROR_WITHIN: usize = 12;
    let numbered = lines.iter().enumerate();
    let failed = numbered.filter_map(|(at, line)| Some((at, counts::failed(line.trim_start())?)));
    let named = failed.map(|(at, name)| {
        let mut following = lines[at + 1..].iter().take(ERROR_WITHIN);
        let error = following.find_map(|line| line.trim_start().strip_prefix("error: "));
        format!("{name} {}", short(error.unwrap_or_default(), 200)).trim_end().to_owned()
    });
    let mut names = Vec::new();
    for name in named.take(NAMED_MAX) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// What a runner wants to be seen though nothing failed: tests that passed only when they ran again
/// alone, and checks that could not be made.
pub(super) fn remarks(lines: &[String]) -> impl Iterator<Item = (&str, &str)> {
    let marked = lines.iter().filter_map(|line| line.split_once(": "));
    marked.filter(|(mark, _)| ["unsteady", "skipped"].contains(mark))
}

/// The first `chars_max` characters of a line.
pub(super) fn short(line: &str, chars_max: usize) -> String {
    line.chars().take(chars_max).collect()
}

#[cfg(test)]
mod tests {
    use super::{failed_tests, telling};

    #[test]
    fn failures_are_shown_and_not_the_rest() {
        let mut lines: Vec<String> = (0..200).map(|number| format!("ok {number}")).collect();
        lines[20] = "not ok 20".into();
        lines[120] = "ok 120 - an error that does not FAIL is not ok".into();
        let shown: Vec<&str> = telling(&lines).collect();
        assert_eq!((shown[0], shown[19], shown[20]), ("not ok 20", "ok 39", "ok 170"));
        assert_eq!(shown.len(), 50);
    }
    #[test]
    fn failed_tests_are_named_with_their_errors() {
        let lines = [
            "ok 1 - not ok is a name",
            "    not ok 2 - a room leaks",
            "      duration_ms: 3",
            "      error: 'Expected 1'",
            "✖ a client hangs (12.5ms)",
            "not ok 3 - later # todo",
            "✖ failing tests:",
            "✖ a client hangs (12.5ms)",
            "test rooms::join ... FAILED",
        ];
        let expected = ["a room leaks 'Expected 1'", "a client hangs (12.5ms)", "rooms::join"];
        assert_eq!(failed_tests(&lines.map(str::to_owned)), expected);
    }
}
