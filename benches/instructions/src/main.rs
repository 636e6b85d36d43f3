//! What a message costs in instructions on each hot path, and how that grows. Counts do not depend
//! on what else the machine does, so that CI can hold bounds on them.
//!
//! `cargo run --release -p actix-aiomsg-instructions` runs this program again under Valgrind, for
//! each path once with few messages and once with many; the difference is what the messages cost,
//! without start and end. Where there is a peer, it is a process of its own that is not counted. The
//! bounds are in `bounds.txt`; `-- --accept` writes them anew, with a margin for other machines,
//! `-- --full` follows growth further than CI does, and another argument chooses by name.

#[path = "../../../tests/support/each.rs"]
mod each;
mod growth;
mod paths;
mod peer;
mod valgrind;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;

use paths::{Path, Run};

/// What may come on top of a count before it fails: other processors have other `memcpy`s.
const MARGIN: f64 = 1.15;

/// Paths that may cost, together, so many times what others cost in the same run.
const RATIOS: [(&[Path], &[Path], f64); 2] = [
    (&[Path::AskByName], &[Path::Ask], 1.15),
    // One way, both ends. Valgrind makes handlers slow, so that there are more looks at the clock than otherwise.
    (
        &[Path::SendWatched, Path::ReceiveWatched],
        &[Path::Send64, Path::Receive64],
        1.01,
    ),
];

const BOUNDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/bounds.txt");

/// What to count.
#[derive(Debug, Default)]
struct Options {
    /// What is counted now, with a margin, are the bounds from now on.
    accept: bool,
    /// How far the growth is followed.
    extent: growth::Extent,
    /// Only the paths whose names contain this.
    filter: Option<String>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        // What this program is when it has started itself.
        ["counted", path, messages, peers] => {
            let path = Path::named(path).expect("a name from here");
            let messages = messages.parse().expect("a number");
            let run = Run::of(messages, peers.parse().expect("a number"));
            actix::System::new().block_on(path.pass(run));
            ExitCode::SUCCESS
        }
        ["peer", ref role @ ..] => {
            actix::System::new().block_on(peer::run(role));
            ExitCode::SUCCESS
        }
        ["--help" | "-h", ..] => {
            println!(
                "[--accept] [FILTER]: counts, and fails above the bounds; --accept sets them."
            );
            ExitCode::SUCCESS
        }
        ref chosen => measure(&Options {
            accept: chosen.contains(&"--accept"),
            extent: if chosen.contains(&"--full") {
                growth::Extent::Full
            } else {
                growth::Extent::Guard
            },
            filter: chosen
                .iter()
                .find(|it| !it.starts_with('-'))
                .map(ToString::to_string),
        }),
    }
}

fn measure(options: &Options) -> ExitCode {
    if !valgrind::is_there() {
        eprintln!("Valgrind is not installed: nothing counted.");
        return ExitCode::FAILURE;
    }
    let bounds = bounds();
    let chosen = |name: &str| {
        let filter = options.filter.as_deref();
        filter.is_none_or(|filter| name.contains(filter))
    };
    let mut counts = BTreeMap::new();
    let mut problems = Vec::new();
    println!("| path | instructions for each message | bound |");
    println!("|---|---|---|");
    for path in Path::ALL.into_iter().filter(|path| chosen(path.name())) {
        let (small, large) = path.runs();
        let count = valgrind::Counter::of(path).slope(small, large);
        let bound = bounds.get(path.name()).copied();
        let shown = bound.map_or("none yet".to_owned(), |bound| format!("{bound:.0}"));
        println!("| {} | {count:.0} | {shown} |", path.name());
        if bound.is_none_or(|bound| count > bound) {
            problems.push(too_many(path, count, bound));
        }
        counts.insert(path.name(), count);
    }
    if options.accept {
        accept(bounds, &counts);
        problems.clear();
    }
    for (paths, beside, limit) in RATIOS {
        let sum = |paths: &[Path]| -> Option<f64> {
            paths.iter().map(|path| counts.get(path.name())).sum()
        };
        let (Some(dear), Some(cheap)) = (sum(paths), sum(beside)) else {
            continue;
        };
        let (ratio, paths, beside) = (dear / cheap, names(paths), names(beside));
        println!("\n{paths}: {ratio:.3} times {beside}, at most {limit}");
        if ratio > limit {
            problems.push(format!(
                "{paths}: {ratio:.3} times what {beside} costs, and at most {limit} are allowed."
            ));
        }
    }
    println!("\n| what must not grow | small | large | ratio | at most |");
    println!("|---|---|---|---|---|");
    for law in growth::LAWS.iter().filter(|law| chosen(law.what)) {
        let (small, large) = law.count(options.extent);
        let (ratio, limit) = (large / small, law.limit);
        let what = law.what;
        println!("| {what} | {small:.0} | {large:.0} | {ratio:.2} | {limit} |");
        if ratio > limit {
            problems.push(format!(
                "{what}: {small:.0} instructions have become {large:.0}, {ratio:.2} times as many; \
                 at most {limit} are allowed. The work depends on how much there is."
            ));
        }
    }
    for problem in &problems {
        eprintln!("\n{problem}");
    }
    if problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn names(paths: &[Path]) -> String {
    let names: Vec<_> = paths.iter().map(|path| path.name()).collect();
    names.join(" and ")
}

fn too_many(path: Path, count: f64, bound: Option<f64>) -> String {
    let name = path.name();
    let Run { messages, peers } = path.runs().1;
    let bound = bound.map_or("there is no bound yet".to_owned(), |bound| {
        format!("at most {bound:.0} are allowed")
    });
    let program = std::env::current_exe().unwrap_or_default();
    format!(
        "{name}: {count:.0} instructions for each message, and {bound}.\n\
         Where they are: valgrind --tool=callgrind --callgrind-out-file=out {} counted '{name}' \
         {messages} {peers} && callgrind_annotate out\n\
         If they are worth it, `cargo run --release -p actix-aiomsg-instructions -- --accept` writes \
         new bounds, and the commit says why.",
        program.display()
    )
}

/// The bounds, by the names of the paths: a line for each, `bound name`.
fn bounds() -> BTreeMap<String, f64> {
    let text = std::fs::read_to_string(BOUNDS).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once(' '))
        .map(|(bound, name)| (name.to_owned(), bound.parse().expect("a number")))
        .collect()
}

/// Writes new bounds for what was counted, and leaves the others as they are.
fn accept(mut bounds: BTreeMap<String, f64>, counts: &BTreeMap<&str, f64>) {
    for (name, count) in counts {
        bounds.insert((*name).to_owned(), count * MARGIN);
    }
    let mut text = "# Instructions that a message may cost on each path, x86-64, optimized.\n\
                    # Written by `cargo run --release -p actix-aiomsg-instructions -- --accept`.\n"
        .to_owned();
    for path in Path::ALL {
        if let Some(bound) = bounds.get(path.name()) {
            writeln!(text, "{bound:.0} {}", path.name()).expect("memory");
        }
    }
    std::fs::write(BOUNDS, text).expect("the tree can be written");
    println!("\nNew bounds are in {BOUNDS}.");
}
