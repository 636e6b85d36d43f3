//! The example programs as processes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// The crate's root.
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A command that runs an example with options that a line of text lists.
pub fn command(name: &str, options: &str) -> Command {
    let program = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let mut command = Command::new(directory().join(&program));
    if !is_fresh(Path::new(command.get_program())) {
        build();
    }
    command.args(options.split_whitespace());
    command
}

/// Whether a program is known to be built from these sources, with these features.
///
/// `cargo test` builds all examples first, but `cargo test --test …` does not; and asking cargo for
/// every process of every test takes longer than the tests. So [`build`] leaves a stamp.
fn is_fresh(program: &Path) -> bool {
    static YOUNGEST: OnceLock<SystemTime> = OnceLock::new();
    let youngest = YOUNGEST.get_or_init(|| {
        ["src", "examples", "Cargo.toml"]
            .into_iter()
            .map(|part| youngest_in(&Path::new(ROOT).join(part)))
            .max()
            .expect("there are three")
    });
    let modified = |path: &Path| fs::metadata(path).and_then(|file| file.modified());
    let stamp = stamp();
    let (Ok(built), Ok(stamped)) = (modified(program), modified(&stamp)) else {
        return false;
    };
    let features = fs::read_to_string(&stamp).unwrap_or_default();
    features == enabled_features().join(",") && stamped >= built && stamped > *youngest
}

fn youngest_in(path: &Path) -> SystemTime {
    match fs::read_dir(path) {
        Ok(entries) => entries
            .filter_map(|entry| Some(youngest_in(&entry.ok()?.path())))
            .max()
            .unwrap_or(SystemTime::UNIX_EPOCH),
        Err(_) => fs::metadata(path)
            .and_then(|file| file.modified())
            .unwrap_or(SystemTime::UNIX_EPOCH),
    }
}

/// The file that says which features the examples were last built with, and when.
fn stamp() -> PathBuf {
    directory().join("built-for-tests")
}

/// Where this profile's examples are.
fn directory() -> PathBuf {
    output().join("examples")
}

/// The profile's directory: this test is `target/PROFILE/deps/name-hash`.
fn output() -> PathBuf {
    let test = std::env::current_exe().expect("this test has a path");
    let output = test.ancestors().nth(2);
    output
        .expect("a test lies two levels below its profile's directory")
        .to_owned()
}

/// Builds all examples as this test was built, once.
fn build() {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        // Not by a macro: the harness keeps what those print until the test is over.
        let sentence =
            "building the example programs that tests start; the first time takes some minutes\n";
        let _ = std::io::Write::write_all(&mut std::io::stderr(), sentence.as_bytes());
        let output = output();
        let directory = output.file_name().and_then(|name| name.to_str());
        let profile = match directory.expect("a profile's directory has a name") {
            "debug" => "dev",
            profile => profile,
        };
        let mut command = Command::new(env!("CARGO"));
        command.args(["build", "--quiet", "--examples", "--profile", profile]);
        let features = enabled_features();
        if features.len() == FEATURES.len() {
            // The very command line of the test run, so that there is nothing to build again.
            command.arg("--all-features");
        } else {
            command.args(["--no-default-features", "--features", &features.join(",")]);
        }
        command
            .args([
                "--manifest-path",
                concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
            ])
            .arg("--target-dir")
            .arg(output.parent().expect("the target directory"));
        let status = command.status().expect("cargo runs");
        assert!(status.success(), "{command:?} failed");
        // Without the stamp the next test asks cargo again.
        let _ = fs::write(stamp(), enabled_features().join(","));
    });
}

/// The features that there are, and whether this test was built with them.
const FEATURES: [(&str, bool); 14] = [
    ("default", cfg!(feature = "default")),
    ("serde", cfg!(feature = "serde")),
    ("json", cfg!(feature = "json")),
    ("messagepack", cfg!(feature = "messagepack")),
    ("postcard", cfg!(feature = "postcard")),
    ("protobuf", cfg!(feature = "protobuf")),
    ("tls", cfg!(feature = "tls")),
    ("tls-dev", cfg!(feature = "tls-dev")),
    ("actix-web", cfg!(feature = "actix-web")),
    ("config", cfg!(feature = "config")),
    ("metrics", cfg!(feature = "metrics")),
    ("otel", cfg!(feature = "otel")),
    ("outbox", cfg!(feature = "outbox")),
    ("test-util", cfg!(feature = "test-util")),
];

/// The features that this test was built with, so that the same library serves the example.
fn enabled_features() -> Vec<&'static str> {
    FEATURES
        .into_iter()
        .filter_map(|(name, enabled)| enabled.then_some(name))
        .collect()
}
