//! `aiomsg`: the command line of the protocol.
//!
//! It uses nothing but the public interface of the library.

mod certificate;
mod command;
mod failure;
mod input;
mod interrupt;
mod line_limit;
mod messages;
mod notices;
mod options;
mod output;
mod pace;
mod payload_text;
mod probe;
mod redaction;
mod session;
mod template;
mod watching;

use std::process::ExitCode;

use clap::Parser;

use crate::command::Command;
use crate::failure::Failure;

/// Talks to aiomsg sockets, in any language: publishes, subscribes, asks, serves, measures and diagnoses.
///
/// An end binds (`--bind tcp://0.0.0.0:25000`) or connects (`--connect tcp://host:25000`), as often as you like, and either may be there first.
/// `aiomsg help patterns` explains on a page who gets which message.
#[derive(Debug, Parser)]
#[command(name = "aiomsg", version, disable_help_subcommand = true, after_help = failure::EXIT_CODES)]
pub(crate) struct Program {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let program = match Program::try_parse() {
        Ok(program) => program,
        Err(slip) => redaction::without_secrets(slip).exit(),
    };
    let outcome = actix::System::new().block_on(program.command.run());
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.tell();
            failure.code()
        }
    }
}

/// What a command comes to.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_options_of_every_command_fit_together() {
        super::Program::command().debug_assert();
    }
}
