//! `aiomsg help`, `completions` and `man`.

use clap::{Args, Command, CommandFactory};
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

#[derive(Debug, Args)]
pub(crate) struct Manual {
    /// The command that it is about, such as `sub` [default: all of aiomsg].
    command: Vec<String>,
}

impl Help {
    pub(crate) fn run(&self) -> Outcome {
        if self.topic == ["patterns"] {
            return output::print(PATTERNS.trim_end());
        }
        let help = find(&self.topic)?.render_long_help();
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

impl Manual {
    pub(crate) fn run(&self) -> Outcome {
        let mut page = Vec::new();
        let rendered = clap_mangen::Man::new(find(&self.command)?).render(&mut page);
        rendered.map_err(Failure::failed)?;
        output::print_raw(page.trim_ascii_end())
    }
}

/// The command of this name, and that below it; all of the program without one.
fn find(names: &[String]) -> Outcome<Command> {
    let mut command = Program::command();
    command.build();
    let mut found = &command;
    for name in names {
        found = found.find_subcommand(name).ok_or_else(|| {
            Failure::usage(format_args!("there is no command {name:?}")).advise(
                "`aiomsg help` lists them; `aiomsg help patterns` is about who gets which message.",
            )
        })?;
    }
    Ok(found.clone())
}
