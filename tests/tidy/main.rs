//! Keeps the tree tidy: layers that point one way, short files, documents that exist.

mod api;
mod arrows;
#[cfg(unix)]
#[allow(dead_code, unreachable_pub)]
#[path = "../support/folder.rs"]
mod folder;
mod graph;
mod items;
mod layers;
mod log_lines;
mod promises;
mod render;
mod scan;
mod source;

use std::fs;
use std::path::{Path, PathBuf};

use layers::layers;
use scan::Scan;
use source::Source;

/// Lines of code, without its tests, that a file may have.
const MAX_LINES: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder, without what is built, fetched or found by a fuzzer.
fn files(below: &str) -> Vec<PathBuf> {
    let skipped = ["target", ".git", "artifacts", "node_modules", "__pycache__"];
    let mut folders = vec![root().join(below)];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            match path.is_dir() {
                _ if skipped.contains(&name.as_str()) => {}
                true => folders.push(path),
                false => files.push(path),
            }
        }
    }
    files.sort();
    files
}

fn sources(below: &str) -> Vec<Source> {
    files(below)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .map(Source::read)
        .collect()
}

fn shown(path: &Path) -> String {
    let relative = path.strip_prefix(root()).unwrap_or(path);
    relative.display().to_string()
}

fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn no_layer_knows_what_it_must_not() {
    let mut problems = Vec::new();
    for source in sources("src").iter().filter(|source| !source.is_tests()) {
        let name = source.layer();
        let Some(layer) = layers().find(|layer| layer.name == name) else {
            problems.push(format!(
                "src/{name}: give it a place in tests/tidy/layers.rs"
            ));
            continue;
        };
        let scan = Scan::of(&source.text);
        let imports = scan
            .imports
            .iter()
            .map(|import| (&import.path, import.line));
        let paths = scan.paths.iter().map(|used| (&used.path, used.line));
        for (path, line) in imports.chain(paths) {
            if let Some(objection) = layer.objection_to(&path.join("::")) {
                problems.push(format!("{}:{line}: {objection}", shown(&source.path)));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn the_clock_is_read_in_one_place() {
    let mut problems = Vec::new();
    for source in sources("src").iter().filter(|source| !source.is_tests()) {
        let path = shown(&source.path);
        let scan = Scan::of(&source.text);
        let reads = scan.paths.iter().filter(|used| {
            let end = used
                .path
                .iter()
                .rev()
                .take(2)
                .map(String::as_str)
                .collect::<Vec<_>>();
            matches!(end[..], ["now", "Instant" | "SystemTime"])
        });
        let lines = reads.map(|used| used.line);
        let elapsed = scan.methods.iter().filter(|(name, _)| name == "elapsed");
        for line in lines.chain(elapsed.map(|(_, line)| *line)) {
            if path != "src/clock.rs" {
                problems.push(format!("{path}:{line}: takes the time itself"));
            }
        }
    }
    assert_none(&problems);
}

/// A recorder costs what it likes: it is told of sums, and of restarts, and never of a message.
#[test]
fn recorders_are_told_in_two_places() {
    let places = ["src/metrics/exporter.rs", "src/telemetry/restarts.rs"];
    let tells = |used: &scan::Used| {
        let first = used.path.first().map(String::as_str);
        let macros = ["counter", "gauge", "histogram", "with_recorder"];
        first == Some("metrics")
            && used
                .path
                .last()
                .is_some_and(|last| macros.contains(&&**last))
    };
    let mut problems = Vec::new();
    for source in sources("src").iter().filter(|source| !source.is_tests()) {
        let path = shown(&source.path);
        let scan = Scan::of(&source.text);
        let imports = scan.imports.iter().filter(|import| {
            import.path.first().is_some_and(|first| first == "metrics") && import.name != "Unit"
        });
        let lines = scan
            .paths
            .iter()
            .filter(|used| tells(used))
            .map(|used| used.line);
        for line in lines.chain(imports.map(|import| import.line)) {
            if !places.contains(&path.as_str()) {
                problems.push(format!("{path}:{line}: tells the recorder"));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn no_file_is_too_long() {
    let problems: Vec<_> = ["src", "cli", "nats", "examples", "benches"]
        .iter()
        .flat_map(|below| sources(below))
        .map(|source| (source.code.lines().count(), source))
        .filter(|(lines, _)| *lines > MAX_LINES)
        .map(|(lines, source)| format!("{}: {lines} lines", shown(&source.path)))
        .collect();
    assert_none(&problems);
}

#[test]
fn every_source_file_says_what_it_is() {
    let problems: Vec<_> = ["src", "cli", "nats", "examples", "benches", "tests", "fuzz"]
        .iter()
        .flat_map(|below| sources(below))
        .filter(|source| !source.is_tests() && !source.text.starts_with("//!"))
        .map(|source| format!("{}: wants a `//!` first", shown(&source.path)))
        .collect();
    assert_none(&problems);
}

#[test]
fn nothing_is_left_for_later_and_no_test_is_switched_off() {
    let needles = [
        concat!("FIX", "ME"),
        concat!("TO", "DO"),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("#[ign", "ore"),
        concat!("dbg", "!("),
    ];
    assert_none(&found_in_tree(&needles));
}

#[test]
fn no_machine_is_named() {
    let needles = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("/tmp/", "wt"),
        concat!("arti", "factory"),
        concat!("index.cra", "tes.io"),
    ];
    assert_none(&found_in_tree(&needles));
}

/// Where text files of the tree contain one of the needles.
fn found_in_tree(needles: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for path in files("") {
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        for (index, line) in text.lines().enumerate() {
            for needle in needles.iter().filter(|needle| line.contains(**needle)) {
                found.push(format!("{}:{}: {needle}", shown(&path), index + 1));
            }
        }
    }
    found
}

#[test]
fn the_changelog_has_a_place_for_what_comes_next() {
    let changelog = fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    assert!(changelog.contains("\n## [Unreleased]\n"));
}

#[test]
fn every_example_is_listed() {
    let list = fs::read_to_string(root().join("examples/README.md")).unwrap_or_default();
    let mut problems = Vec::new();
    for entry in fs::read_dir(root().join("examples")).into_iter().flatten() {
        let path = entry.unwrap().path();
        let program = path.extension().is_some_and(|e| e == "rs") || path.join("main.rs").exists();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if program && !list.contains(&format!("--example {name}")) {
            problems.push(format!("{}: not in examples/README.md", shown(&path)));
        }
    }
    assert_none(&problems);
}

#[test]
fn the_programs_of_the_readme_are_the_examples() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let mut blocks = readme.split("```rust\n").skip(1);
    let programs = [
        "first_service.rs",
        "first.rs",
        "first_actor.rs",
        "first_publish.rs",
        "first_supervised.rs",
    ];
    for name in programs {
        let example = fs::read_to_string(root().join("examples").join(name)).unwrap();
        let program = example
            .split_once("\n\n")
            .expect("docs, then the program")
            .1;
        // What refuses options is the same in each, and no part of what they show.
        let is_shown = |line: &&str| !line.contains("no_options");
        let program: String = program.split_inclusive('\n').filter(is_shown).collect();
        let program = program.trim_start();
        let shown = blocks.next().and_then(|rest| rest.split("```").next());
        assert_eq!(shown, Some(program), "README.md shows another {name}");
    }
}

/// The lines of `cargo tree` with these options. Packages that nobody has built here yet are downloaded.
fn cargo_tree(options: &str) -> std::collections::BTreeSet<String> {
    cargo_tree_in(root(), &format!("--locked {options}"))
}

fn cargo_tree_in(workspace: &Path, options: &str) -> std::collections::BTreeSet<String> {
    let mut cargo = std::process::Command::new(env!("CARGO"));
    let tree = cargo
        .current_dir(workspace)
        .args(["tree", "--prefix", "none"])
        .args(options.split(' '));
    let output = tree.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let tree = String::from_utf8(output.stdout).unwrap();
    let lines = tree.lines().map(|line| line.trim_end_matches(" (*)"));
    lines
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

/// What somebody waits for who has just come.
#[test]
fn the_first_build_of_the_demo_is_as_small_as_the_readme_says() {
    let crates = crates_built("-p demo");
    assert!((40..=62).contains(&crates), "{crates}");
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    assert!(readme.contains("cargo run -p demo"));
    let told = format!("the first build is of {crates} crates");
    assert!(readme.contains(&told), "README.md does not say: {told}");
}

/// How many crates are built of these packages, themselves included.
fn crates_built(packages: &str) -> usize {
    let tree = cargo_tree(&format!("{packages} -e normal,build"));
    let names = tree.iter().map(|line| line.split(" (").next());
    names.collect::<std::collections::BTreeSet<_>>().len()
}

#[test]
fn each_feature_brings_in_as_many_crates_as_the_readme_says() {
    let library = "-p actix-aiomsg --no-default-features";
    let bare = crates_built(library);
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let told = format!("Without any feature it builds {bare} crates");
    assert!(readme.contains(&told), "README.md does not say: {told}");
    let table = readme.split("| feature | what it brings |").nth(1).unwrap();
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let (mut problems, mut features) = (Vec::new(), 0);
    for row in rows {
        let cells: Vec<_> = row.split(" | ").collect();
        let counts = cells[2].trim_end_matches(" |").split(", ");
        for (feature, count) in cells[0].split('`').skip(1).step_by(2).zip(counts) {
            let more = crates_built(&format!("{library} --features {feature}")) - bare;
            if count != more.to_string() {
                problems.push(format!(
                    "README.md: {feature} brings in {more} crates, not {count}"
                ));
            }
            features += 1;
        }
    }
    assert!(features > 10, "{features} features");
    assert_none(&problems);
}

/// Else the library would be another one beside its command line, and tests of both would build everything twice.
#[test]
fn the_command_line_changes_no_feature_of_a_crate_that_the_library_uses() {
    let features = "--all-features -e normal,build,dev -f {p}:{f}";
    let alone = cargo_tree(&format!("-p actix-aiomsg {features}"));
    let both = cargo_tree(&format!("-p actix-aiomsg -p aiomsg-cli {features}"));
    assert!(alone.len() > 100, "{}", alone.len());
    let changed: Vec<_> = alone.difference(&both).cloned().collect();
    assert_none(&changed);
}

#[cfg(unix)]
#[test]
fn without_the_command_line_the_library_has_the_same_dependencies() {
    let copy = folder::Folder::new("workspace-without-cli");
    for entry in fs::read_dir(root()).unwrap() {
        let entry = entry.unwrap();
        let target = copy.path().join(entry.file_name());
        match entry.file_name().to_str() {
            Some("cli" | "target" | ".git" | "Cargo.toml") => {}
            // Cargo leaves out of it what only the missing member needs.
            Some("Cargo.lock") => drop(fs::copy(entry.path(), target).unwrap()),
            _ => std::os::unix::fs::symlink(entry.path(), target).unwrap(),
        }
    }
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let without = manifest.replace("\"cli\", ", "");
    assert_ne!(without, manifest, "it is a member");
    fs::write(copy.file("Cargo.toml"), without).unwrap();
    let options = "-p actix-aiomsg --all-features -e normal,build,dev -f {p}:{f}";
    // The packages of the workspace stand there with their places.
    let is_foreign = |line: &String| !line.contains(" (/");
    let of = |workspace| -> Vec<_> {
        let tree = cargo_tree_in(workspace, &format!("--offline {options}")).into_iter();
        tree.filter(is_foreign).collect()
    };
    let (with, without) = (of(root()), of(copy.path()));
    assert!(with.len() > 100, "{}", with.len());
    assert_eq!(with, without);
}

/// Features of crates are unified over what is built together: the bridge to NATS is built and tested apart, so that the library is
/// tested as its users build it.
#[test]
fn the_library_and_its_command_line_know_nothing_of_the_bridge_to_nats() {
    let both = cargo_tree("-p actix-aiomsg -p aiomsg-cli --all-features -e normal,build,dev");
    let with_bridge: Vec<_> = cargo_tree("-p actix-aiomsg-nats -e normal")
        .into_iter()
        .collect();
    let is_of_nats = |line: &&String| line.contains("nats");
    assert!(
        with_bridge
            .iter()
            .any(|line| line.starts_with("async-nats "))
    );
    assert_eq!(both.iter().find(is_of_nats), None);
    let script = fs::read_to_string(root().join("tests/run")).unwrap();
    assert!(script.contains("tested=(--package actix-aiomsg --package aiomsg-cli)\n"));
    assert!(script.contains("bridge=(--package actix-aiomsg-nats)\n"));
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let mut problems = Vec::new();
    let documents = files("")
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "md"));
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        let folder = document.parent().unwrap();
        let targets = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        let images = text
            .split("src=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next());
        for target in targets.chain(images) {
            let file = target.split('#').next().unwrap_or_default();
            if !target.contains("://") && !file.is_empty() && !folder.join(file).exists() {
                problems.push(format!("{}: {target} is not there", shown(&document)));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn every_section_that_the_code_cites_exists() {
    let wire = fs::read_to_string(root().join("docs/WIRE.md")).unwrap_or_default();
    let mut problems = Vec::new();
    for source in ["src", "tests", "examples"]
        .iter()
        .flat_map(|below| sources(below))
    {
        for rest in source.text.split(concat!("WIRE", " §")).skip(1) {
            let end = rest
                .find(|c: char| !c.is_ascii_digit() && c != '.')
                .unwrap_or(rest.len());
            let cited = rest[..end].trim_end_matches('.');
            if !section_exists(&wire, cited) {
                problems.push(format!(
                    "{}: §{cited} is not in docs/WIRE.md",
                    shown(&source.path)
                ));
            }
        }
        if source.text.contains(concat!("DESIGN", " §")) {
            problems.push(format!(
                "{}: cites what is not in docs/",
                shown(&source.path)
            ));
        }
    }
    assert_none(&problems);
}

/// `4` is a heading `## 4 …`; `4.2` is point `2.` below it.
fn section_exists(document: &str, cited: &str) -> bool {
    let (chapter, point) = match cited.split_once('.') {
        Some((chapter, point)) => (chapter, Some(point)),
        None => (cited, None),
    };
    let mut chapters = document.split("\n## ").skip(1);
    let Some(body) = chapters.find(|body| body.starts_with(&format!("{chapter} "))) else {
        return false;
    };
    point.is_none_or(|point| body.contains(&format!("\n{point}. ")))
}

#[test]
fn two_services_stay_short_and_so_does_their_test() {
    let read = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    let both: usize = ["inventory.rs", "messages.rs", "orders.rs"]
        .iter()
        .map(|file| read(&format!("examples/services/{file}")).lines().count())
        .sum();
    assert!(both < 120, "both sides have {both} lines");
    let test = read("tests/testing.rs");
    let test = test.split("    #[actix::test]").nth(1).unwrap();
    let test = test.split("\n}\n").next().unwrap().lines().count();
    assert!(test < 40, "their test has {test} lines");
}
