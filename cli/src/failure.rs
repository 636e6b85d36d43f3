//! What went wrong, what to do about it, and the exit code that says so.

use std::fmt::Display;
use std::process::ExitCode;
use std::time::Duration;

use anstyle::{AnsiColor, Style};

/// The end of `--help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0    done; or ended by Ctrl-C or SIGTERM where that is the only end, or because nobody reads the output any more
  1    failed: the message on standard error says what to do
  2    the command line is not understood
  3    the time of --timeout was over first
  4    the peer refused
  5    `top --check` has found something wrong
  130  ended by Ctrl-C before it was done (143 by SIGTERM)";

/// How a command failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Failed,
    Usage,
    TimedOut,
    Refused,
    /// What was looked at is not well, which the output has told.
    Unwell,
    /// Ended by the signal of this number.
    Interrupted(u8),
    /// Nobody reads the output any more, which is no failure.
    OutputClosed,
}

/// A command that has failed.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: Kind,
    text: String,
    advice: Option<String>,
}

impl Failure {
    fn new(kind: Kind, text: impl Display) -> Self {
        Self {
            kind,
            text: text.to_string(),
            advice: None,
        }
    }

    /// Something did not work.
    pub(crate) fn failed(text: impl Display) -> Self {
        Self::new(Kind::Failed, text)
    }

    /// The command line cannot be meant so.
    pub(crate) fn usage(text: impl Display) -> Self {
        Self::new(Kind::Usage, text)
    }

    /// It took longer than it was given.
    pub(crate) fn timed_out(after: Duration, waited_for: impl Display) -> Self {
        let after = humantime::format_duration(after);
        Self::new(Kind::TimedOut, format_args!("after {after}: {waited_for}"))
    }

    /// The peer has answered, with a refusal.
    pub(crate) fn refused(text: impl Display) -> Self {
        Self::new(Kind::Refused, text)
    }

    /// A signal came before the work was done.
    pub(crate) fn interrupted(signal: u8, undone: impl Display) -> Self {
        Self::new(Kind::Interrupted(signal), undone)
    }

    /// Something is wrong, and the output says what.
    pub(crate) fn unwell() -> Self {
        Self::new(Kind::Unwell, "")
    }

    /// The reader of our output has gone.
    pub(crate) fn output_closed() -> Self {
        Self::new(Kind::OutputClosed, "")
    }

    /// With what to do about it.
    pub(crate) fn advise(mut self, advice: impl Display) -> Self {
        self.advice = Some(advice.to_string());
        self
    }

    /// With more to the text.
    pub(crate) fn add(mut self, more: impl Display) -> Self {
        self.text = format!("{}; {more}", self.text);
        self
    }

    /// True if a signal came.
    pub(crate) fn is_interrupted(&self) -> bool {
        matches!(self.kind, Kind::Interrupted(_))
    }

    /// True if the time was over first.
    pub(crate) fn is_about_time(&self) -> bool {
        self.kind == Kind::TimedOut
    }

    /// True if it is said what to do.
    pub(crate) fn has_advice(&self) -> bool {
        self.advice.is_some()
    }

    /// The status that the process ends with.
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(match self.kind {
            Kind::OutputClosed => 0,
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::TimedOut => 3,
            Kind::Refused => 4,
            Kind::Unwell => 5,
            Kind::Interrupted(signal) => 128 + signal,
        })
    }

    /// Says it on standard error.
    pub(crate) fn tell(&self) {
        if matches!(self.kind, Kind::OutputClosed | Kind::Unwell) {
            return;
        }
        let style = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
        anstream::eprintln!("{style}error:{style:#} {}", self.text);
        if let Some(advice) = &self.advice {
            anstream::eprintln!("  {advice}");
        }
    }
}
