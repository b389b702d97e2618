//! Rules for the production code of `crates/*/src`.

use super::Finding;

/// Checks one source file for things that only tests may contain.
pub(super) fn check(place: &str, text: &str, test_only: bool) -> Vec<Finding> {
    if test_only {
        return Vec::new();
    }
    let production = production(text);
    let lines = production.lines().enumerate();
    let broken = lines.filter(|(_, line)| line.contains(".unwrap()"));
    broken
        .map(|(number, _)| {
            let text = "`.unwrap()` in production code: say why it cannot fail with `expect`";
            Finding::new(format!("{place}:{}", number + 1), text)
        })
        .collect()
}

/// The names of `#[cfg(test)] mod name;` in a file.
pub(super) fn test_modules(text: &str) -> impl Iterator<Item = &str> {
    text.split("#[cfg(test)]").skip(1).filter_map(|after| {
        let (declaration, _) = after.split_once(';')?;
        declaration.trim().trim_start_matches("pub(crate) ").strip_prefix("mod ")
    })
}

/// The file's code without comments, literals and test-only items; line numbers stay.
pub(super) fn production(text: &str) -> String {
    without_test_items(&without_comments_and_literals(text))
}

/// Blanks comments, strings and character literals.
fn without_comments_and_literals(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut kept = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let length = literal_or_comment(bytes, at);
        if length == 0 {
            kept.push(bytes[at]);
            at += 1;
        } else {
            let end = (at + length).min(bytes.len());
            kept.extend(
                bytes[at..end].iter().map(|byte| if *byte == b'\n' { b'\n' } else { b' ' }),
            );
            at = end;
        }
    }
    // Only whole characters were blanked or kept: literals and comments end at ASCII characters.
    String::from_utf8_lossy(&kept).into_owned()
}

/// The length of the literal or comment that starts at `at`, or zero.
fn literal_or_comment(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let after_name = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    match rest {
        [b'/', b'/', ..] => rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => block_comment(rest),
        [b'"', ..] => quoted(rest, b'"'),
        [b'r', b'"' | b'#', ..] if !after_name => raw_string(rest),
        // A character literal, not a lifetime: one character, then a quote.
        [b'\'', b'\\', ..] => quoted(rest, b'\''),
        [b'\'', _, b'\'', ..] => 3,
        _ => 0,
    }
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                at += 2;
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    at
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

fn raw_string(rest: &[u8]) -> usize {
    let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return 0; // A raw identifier.
    }
    let mut end = vec![b'"'];
    end.resize(1 + hashes, b'#');
    let from = 2 + hashes;
    let body = rest[from..].windows(end.len()).position(|window| window == end.as_slice());
    body.map_or(rest.len(), |body| from + body + end.len())
}

/// Blanks each item under `#[cfg(test)]`: up to its `;`, or to its closing brace.
fn without_test_items(text: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(MARK) {
        let (before, item) = rest.split_at(at);
        let end = item_end(item);
        kept.push_str(before);
        kept.extend(item[..end].chars().filter(|char| *char == '\n'));
        rest = &item[end..];
    }
    kept.push_str(rest);
    kept
}

fn item_end(item: &str) -> usize {
    let mut depth = 0_usize;
    for (at, char) in item.char_indices() {
        match char {
            '{' | '(' | '[' => depth += 1,
            '}' if depth <= 1 => return at + 1,
            '}' | ')' | ']' => depth = depth.saturating_sub(1),
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    item.len()
}
