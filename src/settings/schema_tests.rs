//! The schema is that of the keys, and the keys are those of the builder.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{SCHEMA, Settings};
use crate::limits::limits_table;

const FILE: &str = "src/settings/socket.schema.json";

/// All features have their keys in it; fewer have fewer.
#[cfg(all(
    feature = "tls",
    feature = "json",
    feature = "messagepack",
    feature = "postcard",
    feature = "outbox",
    feature = "inspection",
    feature = "otel"
))]
#[test]
fn the_schema_is_that_of_the_keys() {
    let mut schema = schemars::schema_for!(Settings).to_value();
    plain_text(&mut schema);
    let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
    if std::env::var_os("AIOMSG_ACCEPT").is_some() {
        std::fs::write(
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE),
            &text,
        )
        .unwrap();
    } else {
        assert!(
            SCHEMA == text,
            "{FILE} is not that of the keys: AIOMSG_ACCEPT=1 writes it anew"
        );
    }
}

/// Descriptions without the links of the documentation that they come from.
fn plain_text(schema: &mut Value) {
    match schema {
        Value::String(text) => {
            while let Some((begin, end)) = link_target(text) {
                text.replace_range(begin..end, "");
            }
            *text = text.replace("[`", "`").replace("`]", "`");
        }
        Value::Array(list) => list.iter_mut().for_each(plain_text),
        Value::Object(map) => {
            for (key, value) in map {
                if key == "description" || value.is_object() || value.is_array() {
                    plain_text(value);
                }
            }
        }
        _ => {}
    }
}

/// The part of `[name](target)` behind the name.
fn link_target(text: &str) -> Option<(usize, usize)> {
    let begin = text.find("](")? + 1;
    let mut depth = 0;
    let length = text[begin..].find(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth == 0
    })?;
    Some((begin, begin + length + 1))
}

/// The keys of the schema: `link_capacity.bytes`, `bind.tls.cert`, `reconnect.exponential.cap`.
pub(super) fn keys() -> BTreeSet<String> {
    let schema = serde_json::from_str(SCHEMA).expect("the schema is JSON");
    let mut keys = BTreeSet::new();
    collect(&schema, &schema, "", &mut keys);
    keys
}

fn collect(root: &Value, schema: &Value, path: &str, keys: &mut BTreeSet<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = root.pointer(reference.trim_start_matches('#'));
        collect(root, target.expect("it is there"), path, keys);
    }
    for (key, value) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}{}{key}", if path.is_empty() { "" } else { "." });
        keys.insert(path.clone());
        collect(root, value, &path, keys);
    }
    for several in ["anyOf", "oneOf", "allOf"] {
        for one in schema[several].as_array().into_iter().flatten() {
            collect(root, one, path, keys);
        }
    }
    collect_items(root, schema, path, keys);
}

fn collect_items(root: &Value, schema: &Value, path: &str, keys: &mut BTreeSet<String>) {
    if schema["items"].is_object() {
        collect(root, &schema["items"], path, keys);
    }
}

/// Settings of the builder that are closures, actors or stores, and short forms of others.
const ONLY_IN_CODE: [&str; 8] = [
    "introspection",
    "outbox_with",
    "authorize",
    "on_peer_event",
    "on_socket_event",
    "on_dead_letter",
    "absence_grace",
    "publish_patience",
];

/// The setters that the builder has from the table of limits.
macro_rules! names {
    ($($(#[$doc:meta])* $kind:ident $name:ident: $type:ident = $default:expr;)*) => {
        const LIMITS: &[&str] = &[$(stringify!($name)),*];
    };
}

limits_table!(names);

#[test]
fn every_setting_of_the_builder_has_a_key_and_every_key_a_setting() {
    let api = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tidy/api.txt");
    let api = std::fs::read_to_string(api).unwrap();
    let mut builder = BTreeSet::new();
    let mut within = false;
    for line in api.lines() {
        if !line.starts_with(' ') {
            within = line == "SocketBuilder";
        } else if within && line.contains("self") && line.ends_with("-> Self") {
            let name = line.split("fn ").nth(1).expect("a function");
            builder.insert(name.split(['(', '<']).next().unwrap().to_owned());
        }
    }
    assert!(builder.contains("close_deadline"), "{builder:?}");
    builder.extend(LIMITS.iter().map(|row| (*row).to_owned()));
    for name in ONLY_IN_CODE {
        assert!(builder.remove(name), "{name} is a setting no more");
    }
    let mut keys: BTreeSet<String> = keys()
        .into_iter()
        .filter(|key| !key.contains('.'))
        .collect();
    for place in ["bind", "connect"] {
        assert!(keys.remove(place));
    }
    assert_eq!(keys, builder);
}
