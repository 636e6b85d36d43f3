//! `aiomsg help`, `completions` and `man`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::failure::Failure;
use crate::{Outcome, Program, output};

/// Who gets which message, on a page.
const PATTERNS: &str = include_str!("../../patterns.txt");

#[derive(Debug, Args)]
pub(crate) struct Help {
    /// A command, or `patterns`.
    topic: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Help {
    pub(crate) fn run(&self) -> Outcome {
        if self.topic == ["patterns"] {
            return output::print(PATTERNS.trim_end());
        }
        let mut command = Program::command();
        command.build();
        let mut found = &mut command;
        for name in &self.topic {
            found = found.find_subcommand_mut(name).ok_or_else(|| {
                Failure::usage(format_args!("there is no command {name:?}"))
                    .advise("`aiomsg help` lists them; `aiomsg help patterns` is about who gets which message.")
            })?;
        }
        let help = found.render_long_help();
        output::print(help.ansi().to_string().trim_end())
    }
}

impl Completions {
    pub(crate) fn run(&self) -> Outcome {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Program::command(), "aiomsg", &mut script);
        output::print_raw(script.trim_ascii_end())
    }
}

/// Prints the manual page.
pub(crate) fn man() -> Outcome {
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(Program::command()).render(&mut page);
    rendered.map_err(Failure::failed)?;
    output::print_raw(page.trim_ascii_end())
}
