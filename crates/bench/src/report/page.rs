//! The parts of a page: text that is safe in HTML, numbers as people read them, tables.

use core::fmt::Write as _;

pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            char => safe.push(char),
        }
    }
    safe
}

/// Three digits and a letter: `1.23k`, `45.6M`, `0.012`.
pub(super) fn short(value: f64) -> String {
    let (scaled, letter) = match value.abs() {
        size if size >= 999.5e6 => (value / 1e9, "G"),
        size if size >= 999.5e3 => (value / 1e6, "M"),
        size if size >= 999.5 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = match scaled.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        size if size >= 0.1 || size == 0.0 => 2,
        size if size >= 0.01 => 3,
        _ => 4,
    };
    let text = format!("{scaled:.digits$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{letter}")
}

/// `1,234,567`.
pub(super) fn whole(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub(super) fn mebibytes(bytes: u64) -> String {
    short(bytes as f64 / f64::from(1 << 20))
}

/// A table with a caption; the first column names its row.
pub(super) fn table(caption: &str, heads: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut html =
        format!("<section class=card><h2>{}</h2><div class=scroll><table>", escape(caption));
    if !heads.is_empty() {
        html.push_str("<thead><tr>");
        for head in heads {
            let _ = write!(html, "<th>{}</th>", escape(head));
        }
        html.push_str("</tr></thead>");
    }
    html.push_str("<tbody>");
    for row in rows {
        html.push_str("<tr>");
        for (index, cell) in row.iter().enumerate() {
            let tag = if index == 0 { "th" } else { "td" };
            let _ = write!(html, "<{tag}>{}</{tag}>", escape(cell));
        }
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table></div></section>\n");
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (0.0593, "0.059"),
            (0.0012, "0.0012"),
            (0.5, "0.5"),
            (1.0, "1"),
            (9.996, "10"),
            (12.34, "12.3"),
            (123.4, "123"),
            (999.7, "1k"),
            (1_234.0, "1.23k"),
            (123_456.0, "123k"),
            (2_500_000.0, "2.5M"),
            (-1_500.0, "-1.5k"),
        ] {
            assert_eq!(short(value), text, "{value}");
        }
        assert_eq!([whole(7), whole(1_234), whole(1_234_567)], ["7", "1,234", "1,234,567"]);
    }

    #[test]
    fn tables_hold_text_only() {
        let html = table("a", &["b"], &[vec!["<i>".into(), "\"".into()]]);
        assert!(html.contains("<th>&lt;i&gt;</th><td>&quot;</td>"), "{html}");
        assert_eq!(table("a", &["b"], &[]), "");
    }
}
