//! JSONP polling, for the oldest clients of Engine.IO 3: payloads as scripts, posts as forms.

use bytes::Bytes;

/// The digits of the number of the callback, for a query that asks for a script.
pub(super) fn callback_index(asked: &str) -> String {
    asked.chars().filter(char::is_ascii_digit).collect()
}

/// The payload as a script that gives it to the client. It must be valid JavaScript, not only JSON.
pub(super) fn script(index: &str, payload: &[u8]) -> Bytes {
    let text = String::from_utf8_lossy(payload);
    let literal = serde_json::Value::from(text.as_ref())
        .to_string()
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029");
    Bytes::from(format!("___eio[{index}]({literal});"))
}

/// The payload in the field `d` of a form. `None`: there is not exactly one such field.
pub(crate) fn payload_of_form(body: &[u8]) -> Option<Bytes> {
    let mut fields = form_urlencoded::parse(body).filter(|(name, _)| name == "d");
    let (_, field) = fields.next()?;
    if fields.next().is_some() {
        return None;
    }
    Some(Bytes::from(unescape(&field)))
}

/// Decodes a field: the client writes line ends as `\n` and its own `\n` as `\\n`, both as text.
fn unescape(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut rest = field;
    while let Some(at) = rest.find("\\n") {
        let (before, found) = rest.split_at(at);
        if let Some(own) = before.strip_suffix('\\') {
            text.push_str(own);
            text.push_str("\\n");
        } else {
            text.push_str(before);
            text.push('\n');
        }
        rest = &found[2..];
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_call_the_numbered_callback() {
        assert_eq!(callback_index("3;alert(1)"), "31");
        assert_eq!(script("3", "2:4\"\u{2028}".as_bytes()), "___eio[3](\"2:4\\\"\\u2028\");");
    }

    #[test]
    fn forms_give_their_field_with_line_ends_restored() {
        let table: &[(&str, Option<&str>)] = &[
            ("d=4%3A4abc", Some("4:4abc")),
            ("d=a%5Cnb", Some("a\nb")),
            ("d=a%5C%5Cnb", Some("a\\nb")),
            ("d=4a&d=4b", None),
            ("x=1", None),
            ("", None),
        ];
        for (form, expected) in table {
            let got = payload_of_form(form.as_bytes());
            assert_eq!(got.as_deref(), expected.map(str::as_bytes), "{form}");
        }
    }
}
