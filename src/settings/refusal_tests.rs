//! What settings cannot be: each is refused with its key, the reason, and what was probably meant.

use super::error::ValueError;
use super::schema_tests::keys;
use super::tests::read;
use super::{SettingsError, SettingsSources};

#[test]
fn what_cannot_be_used_is_refused_with_the_key_the_reason_and_what_was_meant() {
    let cases = [
        (
            "heartbeat_intervall = '5s'",
            "there is no setting `heartbeat_intervall`; did you mean `heartbeat_interval`?",
        ),
        ("port = 5", "there is no setting `port`"),
        (
            "link_capacity = { message = 5 }",
            "there is no setting `link_capacity.message`; did you mean `messages`?",
        ),
        (
            "bind = [{ endpoint = 'h:1', back_log = 5 }]",
            "there is no setting `bind.0.back_log`; did you mean `backlog`?",
        ),
        (
            "send_mode = 'publisch'",
            "`send_mode` cannot be used: `publisch` is none of its values; did you mean `publish`?",
        ),
        (
            "send_mode = 'x'",
            "`send_mode` cannot be used: `x` is none of its values, which are `round_robin`, `publish`",
        ),
        (
            "link_overflow = 'wait_for'",
            "`link_overflow` cannot be used: `wait_for` has a value: { wait_for = … }",
        ),
        (
            "heartbeat_interval = 5",
            r#"`heartbeat_interval` cannot be used: invalid type: an integer, expected a time with its unit, for instance "5s""#,
        ),
        (
            "heartbeat_interval = '5'",
            "`heartbeat_interval` cannot be used: `5` is not a time: time unit needed, for example 5sec or 5ms",
        ),
        (
            "memory_budget = '64 Mops'",
            "`memory_budget` cannot be used: ",
        ),
        (
            "max_handshakes = -1",
            "`max_handshakes` cannot be used: invalid value: an integer below zero, expected usize",
        ),
        (
            "memory_budget = -1",
            "`memory_budget` cannot be used: invalid type: an integer below zero, expected a size, for instance \"64MiB\"",
        ),
        (
            "memory_budget = '64 megs'",
            "`memory_budget` cannot be used: `64 megs` is not a size; write for instance `64MiB`",
        ),
        (
            "reconnect = { fixed = '1s', exponential = {} }",
            "`reconnect` cannot be used: it is one of these, not several",
        ),
        ("bind = ['tpc://h:1']", "`bind.0` cannot be used: "),
        (
            "bind = [{ unix_mode = '999' }]",
            "`bind.0.unix_mode` cannot be used: `999` are no permissions",
        ),
        (
            "bind = [{ endpoint = 'h:1', allowed_origins = ['https://a.example', '*'] }]",
            "`bind.0.allowed_origins` cannot be used: no browser sends the origin \"*\"",
        ),
        (
            "bind = [{}]",
            "`bind.0` cannot be used: missing field `endpoint`",
        ),
        (
            "identity = { hex = 'ab' }",
            "`identity.hex` cannot be used: not a valid identity",
        ),
        (
            "dedupe = { count = 1 }",
            "`dedupe` cannot be used: missing field `window`",
        ),
        (
            "link_capacity = '1MiB'",
            "`link_capacity` cannot be used: invalid type: a text, expected a table, for instance { messages = 4096, bytes = \"1MiB\" }",
        ),
        (
            "inbox_capacity = 8192",
            "`inbox_capacity` cannot be used: invalid type: an integer, expected a table, for instance { messages = 4096, ",
        ),
        (
            "outbox = { path = 'a', capacity = 5 }",
            "`outbox.capacity` cannot be used: invalid type: an integer, expected a table, for instance { messages = 4096, ",
        ),
        (
            "dead_letter_queue = true",
            "`dead_letter_queue` cannot be used: invalid type: true or false, expected a table, for instance { letters = 1000, max_age = \"7d\" }",
        ),
        (
            "dedupe = 1000",
            "`dedupe` cannot be used: invalid type: an integer, expected a table, for instance { count = 1000, window = \"10m\" }",
        ),
        (
            "accept_rate = 5",
            "`accept_rate` cannot be used: invalid type: an integer, expected a table, for instance { connections = 10, period = \"1s\" }",
        ),
        (
            "reconnect = { exponential = '1s' }",
            "`reconnect.exponential` cannot be used: invalid type: a text, expected a table, for instance { initial = \"100ms\", cap = \"1s\" }",
        ),
        (
            "identity = 'orders-1'",
            "`identity` cannot be used: `orders-1` is none of its values; write { name = \"orders-1\" } or { hex = \"…\" }",
        ),
        (
            "identity = 'game'",
            "`identity` cannot be used: `game` is none of its values; write { name = \"game\" } or { hex = \"…\" }",
        ),
        (
            "identity = 5",
            "`identity` cannot be used: write { name = \"…\" } or { hex = \"…\" }",
        ),
        (
            "identity = { nam = 'a' }",
            "`identity` cannot be used: `nam` is none of its values; did you mean `name`?",
        ),
        (
            "reconnect = '1s'",
            "`reconnect` cannot be used: `1s` is none of its values; write { fixed = \"1s\" } or { exponential = { initial = \"…\", cap = \"…\" } }",
        ),
        (
            "absent_peer = '30s'",
            "`absent_peer` cannot be used: `30s` is none of its values; write { hold_for = \"30s\" } or \"dead_letter\"",
        ),
        (
            "absent_peer = 'dead_leter'",
            "`absent_peer` cannot be used: `dead_leter` is none of its values; did you mean `dead_letter`?",
        ),
        (
            "link_overflow = '1s'",
            "`link_overflow` cannot be used: `1s` is none of its values; write \"wait\", { wait_for = \"1s\" }, \"fail\", ",
        ),
        (
            "send_mode = 5",
            "`send_mode` cannot be used: write \"round_robin\" or \"publish\"",
        ),
        (
            "link_capacity_bytes = '1MiB'",
            "there is no setting `link_capacity_bytes`; did you mean `link_capacity.bytes`?",
        ),
        (
            "connect_timeot = '1s'",
            "there is no setting `connect_timeot`; did you mean `connect_timeout`?",
        ),
        (
            "name = ''",
            "`name` cannot be used: it is empty; is a variable unset?",
        ),
        (
            "identity = { name = '' }",
            "`identity.name` cannot be used: it is empty; is a variable unset?",
        ),
        ("name = ", ""),
    ];
    for (text, expected) in cases {
        let error = read(text).expect_err(text).to_string();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
    let error = SettingsSources::new()
        .variables("SVC", &[("SVC_HEARTBEAT_INTERVALL", "5s")])
        .load()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no setting `heartbeat_intervall`; did you mean `heartbeat_interval`? (in SVC_HEARTBEAT_INTERVALL of the environment)"
    );
    let error = SettingsSources::new()
        .variables("SVC", &[("SVC_MAX_HANDSHAKES", "many")])
        .load()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "`max_handshakes` cannot be used: `many` is not a whole number (in SVC_MAX_HANDSHAKES of the environment)"
    );
}

#[cfg(feature = "tls")]
#[test]
fn a_file_in_place_of_the_table_of_files_is_told_the_table() {
    for (text, expected) in [
        (
            "bind = [{ endpoint = 'tls://h:1', tls = 'cert.pem' }]",
            "`bind.0.tls` cannot be used: invalid type: a text, expected a table, for instance { cert = \"server.pem\", key = \"server.key\" }",
        ),
        (
            "connect = [{ endpoint = 'tls://h:1', tls = 'cert.pem' }]",
            "`connect.0.tls` cannot be used: invalid type: a text, expected a table, for instance { ca = \"ca.pem\" }",
        ),
    ] {
        let error = read(text).expect_err(text).to_string();
        assert_eq!(error, expected);
    }
}

/// The error of one variable.
fn refused(variable: &str, value: &str) -> String {
    let sources = SettingsSources::new().variables("SVC", &[(variable, value)]);
    sources.load().expect_err(variable).to_string()
}

#[test]
fn a_variable_with_one_underscore_in_place_of_two_is_told_the_other() {
    for (variable, meant) in [
        ("SVC_LINK_CAPACITY_BYTES", "SVC_LINK_CAPACITY__BYTES"),
        ("SVC_IDENTITY_NAME", "SVC_IDENTITY__NAME"),
        ("SVC_RECONNECT_FIXED", "SVC_RECONNECT__FIXED"),
        ("SVC_OUTBOX_PATH", "SVC_OUTBOX__PATH"),
        ("SVC_OUTBOX__ADOPT_NAME", "SVC_OUTBOX__ADOPT__NAME"),
        (
            "SVC_PUBLISH_OVERFLOW_WAIT_FOR",
            "SVC_PUBLISH_OVERFLOW__WAIT_FOR",
        ),
    ] {
        let told = refused(variable, "1");
        let expected = format!("; did you mean `{meant}`? (in {variable} of the environment)");
        assert!(told.ends_with(&expected), "{told}");
    }
    // No key within another one is left out.
    let keys = keys();
    for key in keys.iter().filter(|key| key.contains('.')) {
        let name = key.replace('.', "_");
        let is_of_a_list = key.starts_with("bind.") || key.starts_with("connect.");
        if is_of_a_list || keys.contains(&name) {
            continue;
        }
        let variable = format!("SVC_{}", name.to_uppercase());
        let told = refused(&variable, "1");
        let meant = told.split('`').nth(3).unwrap_or_else(|| panic!("{told}"));
        assert_eq!(meant.replace("__", "_"), variable, "{told}");
        let meant = meant.replace("SVC_", "").replace("__", ".").to_lowercase();
        assert!(keys.contains(&meant), "{told}");
    }
    let several = SettingsSources::new().variables("SVC", &[("SVC_IDENTITY_NAME", "a")]);
    let error = several.variables("APP", &[]).load().unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no setting `identity_name`; did you mean `IDENTITY__NAME`? (in the environment)"
    );
}

#[test]
fn a_variable_without_the_word_of_its_value_is_told_the_variables_that_there_are() {
    for (variable, value, expected) in [
        (
            "SVC_IDENTITY",
            "orders-1",
            "`identity` cannot be used: `orders-1` is none of its values; write SVC_IDENTITY__NAME=orders-1 or SVC_IDENTITY__HEX=… \
             (in SVC_IDENTITY of the environment)",
        ),
        (
            "SVC_RECONNECT",
            "1s",
            "`reconnect` cannot be used: `1s` is none of its values; write SVC_RECONNECT__FIXED=1s or \
             SVC_RECONNECT__EXPONENTIAL__INITIAL=… with SVC_RECONNECT__EXPONENTIAL__CAP=… (in SVC_RECONNECT of the environment)",
        ),
        (
            "SVC_ABSENT_PEER",
            "30s",
            "`absent_peer` cannot be used: `30s` is none of its values; write SVC_ABSENT_PEER__HOLD_FOR=30s or \
             SVC_ABSENT_PEER=dead_letter (in SVC_ABSENT_PEER of the environment)",
        ),
    ] {
        assert_eq!(refused(variable, value), expected);
    }
}

#[test]
fn a_socket_whose_identity_stands_for_an_empty_name_does_not_start() {
    let settings = read("identity = { hex = 'e3b0c44298fc1c149afbf4c8996fb924' }").unwrap();
    let error = settings.builder().start().unwrap_err().to_string();
    assert!(
        error.contains("the identity stands for an empty name; is a variable unset?"),
        "{error}"
    );
}

#[test]
fn a_file_that_is_there_and_cannot_be_read_is_named_also_where_it_need_not_be_there() {
    let folder = std::env::temp_dir();
    let error = SettingsSources::new().optional_file(&folder).load();
    let error = error.unwrap_err().to_string();
    let start = format!("cannot read {}: ", folder.display());
    assert!(error.starts_with(&start), "{error}");
    let absent = folder.join("no such settings of aiomsg.toml");
    SettingsSources::new().optional_file(absent).load().unwrap();
}

#[test]
fn a_key_of_a_feature_that_is_not_built_names_the_feature() {
    use serde::de::Error;
    for (key, beside, feature) in [("tls", "endpoint", "tls"), ("traces", "bind", "otel")] {
        let known: &'static [&'static str] =
            [&["endpoint"], &["bind"]][usize::from(beside == "bind")];
        let error = SettingsError::from(ValueError::unknown_field(key, known));
        let expected =
            format!("`{key}` cannot be used: it needs the feature {feature:?} of actix-aiomsg");
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn an_error_has_its_place_and_no_value_that_may_be_a_secret() {
    let header =
        |value: &str| format!("connect = [{{ endpoint = 'ws://h:1', headers = {value} }}]");
    let cases = [
        (
            "name = 'a'\nconnect = [\"wss://h/p?token=s3cret]".to_owned(),
            "line 2, column 36: ",
        ),
        ("name = s3cret".to_owned(), "line 1, column 8: "),
        ("name = \"\\s3cret\"".to_owned(), "line 1, column "),
        ("name = 's3cret\n".to_owned(), "line 1, column "),
        ("name = 5s3cret".to_owned(), "line 1, column "),
        ("name = 's3cret' s3cret".to_owned(), "line 1, column "),
        (
            header("'Authorization: Bearer s3cret'"),
            "`connect.0.headers` cannot be used: invalid type: a text, expected a table of names and texts, \
             for instance { Authorization = \"Bearer …\" }",
        ),
        (
            header("{ Authorization = ['Bearer s3cret'] }"),
            "`connect.0.headers.Authorization` cannot be used: ",
        ),
        (
            header("{ Authorization = 53537 }"),
            "`connect.0.headers.Authorization` cannot be used: invalid type: an integer, expected a string",
        ),
        (
            header("{ Authorization = -53537 }"),
            "`connect.0.headers.Authorization` cannot be used: invalid type: an integer below zero, expected a string",
        ),
        (
            header("{ Authorization = 53537.5 }"),
            "`connect.0.headers.Authorization` cannot be used: invalid type: a number with a fraction, expected a string",
        ),
        (
            header("53537"),
            "`connect.0.headers` cannot be used: invalid type: an integer, expected a table",
        ),
        (
            "connect = ['wss://h:s3/p?token=s3cret']".to_owned(),
            "`connect.0` cannot be used: the port \"s3\"",
        ),
    ];
    for (text, expected) in cases {
        let error = read(&text).expect_err(&text).to_string();
        assert!(error.contains(expected), "{text}: {error}");
        assert!(!error.contains("s3cret"), "{text}: {error}");
        assert!(!error.contains("53537"), "{text}: {error}");
    }
    let section = SettingsSources::new().text("a = 's3cret'").section("a");
    let error = section.load().unwrap_err().to_string();
    assert!(
        error.contains("`a`") && !error.contains("s3cret"),
        "{error}"
    );
}

#[test]
fn the_file_of_a_slip_is_named() {
    let path = std::env::temp_dir().join(format!("aiomsg-{}.toml", std::process::id()));
    std::fs::write(&path, "name = 'a'\nname = 's3cret\n").unwrap();
    let error = SettingsSources::new().file(&path).load().unwrap_err();
    std::fs::remove_file(&path).unwrap();
    let error = error.to_string();
    assert!(error.contains("line 2, column "), "{error}");
    assert!(!error.contains("s3cret"), "{error}");
    let file = path.file_name().unwrap().to_string_lossy();
    assert!(error.ends_with(&format!("{file})")), "{error}");
}
