//! What this crate makes of what the machine can do: `cargo bench --bench end_to_end`, with
//! `--all-features` for TLS as well.
//!
//! Everything is measured between two processes over loopback, once with sockets of this crate with
//! default settings and once with raw tokio: the same frames, batched writes, no queue, no bound, no
//! identity and no actor. The two take turns, in several rounds; a ratio is taken within a round,
//! because absolute figures depend on the machine and on the minute. The result is a table, and a
//! picture of it.

mod end;
mod ours;
mod picture;
mod raw;
mod rows;
#[path = "../support/mod.rs"]
mod support;
mod tally;

use std::path::PathBuf;

use actix::System;
use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rows::{Measure, Row, Stack, Work};

/// Measures sockets of this crate beside raw tokio, and prints and draws the ratios.
#[derive(Debug, Parser)]
struct Options {
    /// A tenth of the messages, and three rounds: a first impression in half a minute.
    #[arg(long)]
    quick: bool,
    /// How often everything is measured [default: 7].
    #[arg(long)]
    rounds: Option<usize>,
    /// Only the rows whose names contain this, for instance `TLS` or `64 B`.
    #[arg(long)]
    only: Option<String>,
    /// Where to draw the ratios; a whole run draws them into `docs/performance.svg`.
    #[arg(long)]
    svg: Option<PathBuf>,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    part: Option<Part>,
}

/// What this program is when it has started itself.
#[derive(Debug, Subcommand)]
enum Part {
    /// One end of a connection.
    #[command(hide = true)]
    End(end::Options),
}

/// A row with what was measured for it.
#[derive(Debug)]
pub(crate) struct Result {
    pub(crate) row: Row,
    /// Medians.
    pub(crate) raw: f64,
    pub(crate) ours: f64,
    /// Of the ratios of the rounds: lowest, median, highest.
    pub(crate) ratios: [f64; 3],
    /// Messages that did not arrive, in all rounds.
    pub(crate) lost: u64,
}

fn main() {
    let options = Options::parse();
    // It may lack the right to have more, and then fails where it cannot connect.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    if let Some(Part::End(end)) = options.part {
        System::new().block_on(end::run(end));
        return;
    }
    let rows: Vec<Row> = rows::all()
        .into_iter()
        .filter(|row| {
            let only = options.only.as_deref();
            only.is_none_or(|only| row.name.contains(only))
        })
        .collect();
    let rounds = options.rounds.unwrap_or(if options.quick { 3 } else { 7 });
    let scale = if options.quick { 10 } else { 1 };
    let results = measure(rows, rounds.max(1), scale);
    print(&results, rounds);
    let whole = !options.quick && options.only.is_none();
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/performance.svg");
    if let Some(file) = options.svg.or(whole.then(|| default.into())) {
        std::fs::write(&file, picture::draw(&results)).expect("the picture can be written");
        println!("\nDrawn into {}.", file.display());
    }
}

/// Runs everything that the rows need, in turn, in each round.
fn measure(rows: Vec<Row>, rounds: usize, scale: u64) -> Vec<Result> {
    let mut runs: Vec<(Stack, Work)> = Vec::new();
    for run in rows
        .iter()
        .flat_map(|row| [(Stack::Raw, row.raw), (Stack::Ours, row.ours)])
    {
        if !runs.contains(&run) {
            runs.push(run);
        }
    }
    let context = end::Context::new();
    let bar = ProgressBar::with_draw_target(
        Some((runs.len() * rounds) as u64),
        ProgressDrawTarget::stderr(),
    );
    let style = "{bar:32} {pos}/{len}, {eta} left: {msg}";
    bar.set_style(ProgressStyle::with_template(style).expect("a template"));
    let mut figures = vec![Vec::new(); runs.len()];
    for _ in 0..rounds {
        for ((stack, work), figures) in runs.iter().zip(&mut figures) {
            bar.set_message(format!("{} {work}", stack.name()));
            figures.push(context.run(*stack, *work, scale));
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let of = |run: (Stack, Work)| {
        let index = runs.iter().position(|other| *other == run);
        &figures[index.expect("it was run")]
    };
    rows.into_iter()
        .map(|row| {
            let (raw, ours) = (of((Stack::Raw, row.raw)), of((Stack::Ours, row.ours)));
            let figure = |figures: &end::Figures| figures.values[row.figure];
            let ratios = ours
                .iter()
                .zip(raw)
                .map(|(ours, raw)| figure(ours) / figure(raw));
            let ratios = sorted(ratios.collect());
            Result {
                raw: median(&sorted(raw.iter().map(figure).collect())),
                ours: median(&sorted(ours.iter().map(figure).collect())),
                ratios: [ratios[0], median(&ratios), ratios[rounds - 1]],
                lost: ours.iter().map(|figures| figures.lost).sum(),
                row,
            }
        })
        .collect()
}

fn sorted(mut numbers: Vec<f64>) -> Vec<f64> {
    numbers.sort_by(f64::total_cmp);
    numbers
}

fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}

fn print(results: &[Result], rounds: usize) {
    println!("Two processes over loopback, medians of {rounds} interleaved rounds.\n");
    println!("| what | this crate | raw tokio | ratio (lowest–highest) |");
    println!("|---|---|---|---|");
    for result in results {
        let [lowest, ratio, highest] = result.ratios;
        let row = &result.row;
        let times = match row.measure {
            Measure::Rate => "",
            Measure::Time | Measure::Memory => " ×",
        };
        let lost = match result.lost {
            0 => String::new(),
            lost => format!("; {lost} lost"),
        };
        println!(
            "| {} | {} | {} | **{ratio:.2}{times}** ({lowest:.2}–{highest:.2}){lost} |",
            row.name,
            row.measure.show(result.ours),
            row.measure.show(result.raw),
        );
    }
}
