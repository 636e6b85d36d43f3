//! What was probably meant by a key that there is not, or by a value that a choice cannot have.

/// The known name that differs least from a text, unless it is another word altogether.
pub(super) fn nearest<'a>(text: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = text.to_lowercase().replace('-', "_");
    let distance = |name: &&&str| strsim::damerau_levenshtein(&plain, name);
    let nearest = known.iter().min_by_key(distance)?;
    let most = 1 + plain.chars().count() / 4;
    (distance(&nearest) <= most).then_some(*nearest)
}

/// The key within another one that a name stands for which has an underscore in place of the dot: `link_capacity.bytes` for
/// `link_capacity_bytes`. It is within the longest of the known names that can begin it.
pub(super) fn nested(field: &str, known: &[&str]) -> Option<String> {
    let keys = known.iter().filter_map(|name| {
        let rest = field.strip_prefix(*name)?.strip_prefix('_')?;
        let within = keys_within(name);
        let key = if within.contains(&rest) {
            rest.to_owned()
        } else {
            nested(rest, within)?
        };
        Some((name.len(), format!("{name}.{key}")))
    });
    let longest = keys.max_by_key(|(length, _)| *length);
    longest.map(|(_, key)| key)
}

/// The keys of a setting that is a table, or a choice of which a word has a value.
fn keys_within(setting: &str) -> &'static [&'static str] {
    match setting {
        "identity" | "adopt" => &["name", "hex"],
        "reconnect" => &["fixed", "exponential"],
        "exponential" => &["initial", "cap", "jitter"],
        "absent_peer" => &["hold_for"],
        "dedupe" => &["count", "window", "total"],
        "dead_letter_queue" => &["letters", "bytes", "max_age"],
        "accept_rate" => &["connections", "period"],
        "outbox" => &[
            "path",
            "durability",
            "capacity",
            "overflow",
            "absent",
            "adopt",
            "check_at_start",
        ],
        _ if setting.ends_with("capacity") => &["messages", "bytes"],
        _ if setting.ends_with("overflow") => &["wait_for"],
        _ => &[],
    }
}

/// True if a text stands in place of a choice of which words have values, and is like none of those that stand alone: it is most
/// likely such a value, without its word.
pub(super) fn lacks_its_word(text: &str, words: &[&str]) -> bool {
    let alone = words.iter().copied();
    let alone: Vec<_> = alone.filter(|word| value_of(word, "").is_none()).collect();
    alone.len() < words.len() && !words.contains(&text) && nearest(text, &alone).is_none()
}

/// How a choice is written: in a file, or as the environment has it, if `variable` is that of the choice. What was found in its
/// place may be the value of one of the words.
pub(super) fn forms(found: &str, words: &[&str], variable: Option<&str>) -> String {
    let forms = words.iter().map(|word| form(word, found, variable));
    let forms: Vec<_> = forms.collect();
    match forms.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => forms.concat(),
    }
}

fn form(word: &str, found: &str, variable: Option<&str>) -> String {
    // The one word whose value is a table.
    let is_of_two = word == "exponential";
    match (value_of(word, found), variable) {
        (None, None) => format!("\"{word}\""),
        (None, Some(variable)) => format!("{variable}={word}"),
        (Some(_), None) if is_of_two => {
            format!("{{ {word} = {{ initial = \"…\", cap = \"…\" }} }}")
        }
        (Some(value), None) => format!("{{ {word} = {value:?} }}"),
        (Some(value), Some(variable)) => {
            let variable = format!("{variable}__{}", word.to_uppercase());
            if is_of_two {
                format!("{variable}__INITIAL=… with {variable}__CAP=…")
            } else {
                format!("{variable}={value}")
            }
        }
    }
}

/// The value of a word that has one: what was found in its place, where that can be it.
fn value_of<'a>(word: &str, found: &'a str) -> Option<&'a str> {
    let is_time = found.starts_with(|first: char| first.is_ascii_digit());
    match word {
        "name" if !found.is_empty() => Some(found),
        "fixed" | "hold_for" | "wait_for" if is_time => Some(found),
        "name" | "hex" | "fixed" | "exponential" | "hold_for" | "wait_for" => Some("…"),
        _ => None,
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_unless_it_is_another_word() {
        let known = ["heartbeat_interval", "heartbeat_timeout", "bind", "name"];
        for (text, expected) in [
            ("heartbeat_intervall", Some("heartbeat_interval")),
            ("Heartbeat-Timeout", Some("heartbeat_timeout")),
            ("hearbeat_timeout", Some("heartbeat_timeout")),
            ("bnid", Some("bind")),
            ("nmae", Some("name")),
            ("port", None),
            ("", None),
        ] {
            assert_eq!(nearest(text, &known), expected, "{text}");
        }
        assert_eq!(nearest("x", &[]), None);
    }

    #[test]
    fn an_underscore_in_place_of_a_dot_is_told_from_those_of_a_name() {
        let known = ["link_capacity", "outbox", "outbox_capacity", "reconnect"];
        for (field, expected) in [
            ("link_capacity_bytes", Some("link_capacity.bytes")),
            ("outbox_capacity_bytes", Some("outbox_capacity.bytes")),
            ("outbox_path", Some("outbox.path")),
            ("outbox_adopt_name", Some("outbox.adopt.name")),
            (
                "reconnect_exponential_cap",
                Some("reconnect.exponential.cap"),
            ),
            ("outbox_capacty", None),
            ("link_capacity_", None),
            ("link_capacity", None),
            ("heartbeat_interval_ms", None),
        ] {
            assert_eq!(nested(field, &known).as_deref(), expected, "{field}");
        }
    }

    #[test]
    fn a_text_is_the_value_of_a_word_where_it_can_be() {
        let words = ["wait", "wait_for"];
        assert_eq!(
            forms("1s", &words, None),
            r#""wait" or { wait_for = "1s" }"#
        );
        assert_eq!(
            forms("blok", &words, None),
            r#""wait" or { wait_for = "…" }"#
        );
        assert!(lacks_its_word("1s", &words));
        for word in ["wait", "wiat", "wait_for"] {
            assert!(!lacks_its_word(word, &words), "{word}");
        }
        assert!(!lacks_its_word("x", &["probe", "refuse"]));
    }
}
