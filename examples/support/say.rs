//! Lines on standard output.

use std::fmt::Display;
use std::io::{self, Write};
use std::process;

/// In place of the standard one, which panics when nobody is left to read.
macro_rules! println {
    () => {
        crate::say::line("")
    };
    ($($text:tt)+) => {
        crate::say::line(format_args!($($text)+))
    };
}

/// Prints a line. With nobody left to read it the program ends, as programs in a pipe do.
pub(crate) fn line(text: impl Display) {
    if writeln!(io::stdout(), "{text}").is_err() {
        process::exit(0);
    }
}
