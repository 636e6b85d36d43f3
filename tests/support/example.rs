//! The example programs as processes.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// A command that runs an example with options that a line of text lists.
pub fn command(name: &str, options: &str) -> Command {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let program = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let mut command = Command::new(BUILT.get_or_init(build).join(program));
    command.args(options.split_whitespace());
    command
}

/// Builds what is missing or out of date, and yields the directory that the examples are in.
///
/// `cargo test` builds all examples first, but `cargo test --test …` does not.

fn build() -> PathBuf {
    // target/PROFILE/deps/this-test
    let test = std::env::current_exe().expect("this test has a path");
    let output = test
        .ancestors()
        .nth(2)
        .expect("a test lies two levels below its profile's directory");
    let directory = output
        .file_name()
        .and_then(|name| name.to_str())
        .expect("a profile's directory has a name");
    let profile = if directory == "debug" {
        "dev"
    } else {
        directory
    };
    let mut command = Command::new(env!("CARGO"));
    command
        .args(["build", "--quiet", "--examples"])
        .args(["--profile", profile, "--no-default-features"])
        .args([
            "--manifest-path",
            concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
        ])
        .args(["--features", &enabled_features().join(",")])
        .arg("--target-dir")
        .arg(output.parent().expect("the target directory"));
    let status = command.status().expect("cargo runs");
    assert!(status.success(), "{command:?} failed");
    output.join("examples")
}

/// The features that this test was built with, so that the same library serves the example.
fn enabled_features() -> Vec<&'static str> {
    [
        ("json", cfg!(feature = "json")),
        ("tls", cfg!(feature = "tls")),
    ]
    .into_iter()
    .filter_map(|(name, enabled)| enabled.then_some(name))
    .collect()
}
