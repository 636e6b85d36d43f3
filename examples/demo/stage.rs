//! How the demo speaks: one line at a time, in colour where there is a terminal.

use std::env;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use tokio::time::sleep;

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";

/// The pause between two lines, so that a reader can follow.
const BEAT: Duration = Duration::from_millis(120);

/// Starts a scene.
pub(crate) async fn scene(number: u32, title: &str) {
    sleep(4 * BEAT).await;
    line(format_args!(
        "\n{}",
        paint(BOLD, format_args!("{number}. {title}"))
    ));
}

/// Explains what is about to be seen.
pub(crate) fn explain(text: &str) {
    line(paint(DIM, text));
}

/// Something that one of the actors does.
pub(crate) fn acts(name: &str, text: impl Display) {
    line(format_args!(
        "   {} {text}",
        paint(hue(name), format_args!("{name:>5}"))
    ));
}

/// Something that should catch the eye.
pub(crate) fn alarm(text: impl Display) {
    line(format_args!("   {}", paint(RED, text)));
}

/// A result that is as it should be, or not.
pub(crate) fn verdict(good: bool, text: impl Display) {
    let (hue, mark) = if good { (GREEN, "ok") } else { (RED, "NO") };
    line(format_args!("   {}  {text}", paint(hue, mark)));
}

/// A plain line. A reader who has gone away is no reason to stop.
pub(crate) fn line(text: impl Display) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// Gives the reader a moment.
pub(crate) async fn beat() {
    sleep(BEAT).await;
}

fn hue(name: &str) -> &'static str {
    match name {
        "ada" => "36",
        "bob" => "33",
        "carol" => "35",
        _ => BOLD,
    }
}

fn paint(hue: &str, text: impl Display) -> String {
    let plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if plain || !io::stdout().is_terminal() {
        return text.to_string();
    }
    format!("\x1b[{hue}m{text}\x1b[0m")
}
