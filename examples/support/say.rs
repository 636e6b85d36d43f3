//! Lines on standard output.

use std::fmt::Display;
use std::io::{self, Write};
use std::process;

/// Prints a line. With nobody left to read it the program ends, as programs in a pipe do.
pub(crate) fn line(text: impl Display) {
    if writeln!(io::stdout(), "{text}").is_err() {
        process::exit(0);
    }
}
