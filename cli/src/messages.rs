//! What is to be sent: lines, a text, or files; so many, at a rate, of a size.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::Outcome;
use crate::failure::Failure;
use crate::input::{Lines, MAX_MESSAGE};
use crate::options;
use crate::pace::{Pace, Rate};
use crate::redaction::shown_path;
use crate::template::Template;

/// What is to be sent.
#[derive(Debug, Args)]
pub(crate) struct Messages {
    /// Send this text in place of standard input. {{count}}, {{time}} and {{random 64}} are filled in.
    #[arg(long, short = 'm', value_name = "TEXT")]
    message: Option<Template>,
    /// Send so many messages: the same text again and again, or no more lines than this.
    #[arg(long, short = 'n', value_parser = options::count)]
    count: Option<u64>,
    /// Messages in a second, minute or hour, for instance 10k/s [default: as fast as they are taken].
    #[arg(long)]
    rate: Option<Rate>,
    /// Fill each message up to so many bytes with spaces.
    #[arg(long, value_name = "BYTES", value_parser = options::bytes)]
    size: Option<usize>,
    /// Send each of these files as one message.
    #[arg(value_name = "FILE", conflicts_with = "message")]
    files: Vec<PathBuf>,
}

impl Messages {
    /// Progress, on a terminal only, and not between lines that are typed.
    pub(crate) fn bar(&self, quiet: bool) -> ProgressBar {
        let is_typed = self.message.is_none() && self.files.is_empty() && io::stdin().is_terminal();
        if quiet || is_typed {
            return ProgressBar::hidden();
        }
        let target = ProgressDrawTarget::stderr();
        let total = match (&self.message, self.count, self.files.len()) {
            (Some(_), count, _) => Some(count.unwrap_or(1)),
            (None, Some(count), 0) => Some(count),
            (None, None, 0) => None,
            (None, _, files) => Some(files as u64),
        };
        let style = match total {
            Some(_) => "{bar:32} {pos}/{len} messages, {per_sec}, {eta} left",
            None => "{spinner} {pos} messages, {per_sec}",
        };
        let style = ProgressStyle::with_template(style);
        let bar = ProgressBar::with_draw_target(total, target);
        bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    }

    /// Tells early, before anybody is waited for, that a file is not there.
    pub(crate) fn require_files(&self) -> Outcome {
        // What is no regular file, such as a pipe, may be opened only once.
        let trouble = |file: &PathBuf| match std::fs::metadata(file) {
            Ok(found) if found.is_dir() => Some(io::ErrorKind::IsADirectory.into()),
            Ok(found) if !found.is_file() => None,
            Ok(found) if found.len() > MAX_MESSAGE as u64 => Some(too_large()),
            Ok(_) => File::open(file).err(),
            Err(error) => Some(error),
        };
        let mut files = self.files.iter();
        match files.find_map(|file| Some((file, trouble(file)?))) {
            Some((file, error)) => Err(unreadable(file, &error)),
            None => Ok(()),
        }
    }

    /// Opens what the messages come from.
    pub(crate) fn source(&self) -> Outcome<Source<'_>> {
        let from = if let Some(template) = &self.message {
            From::Template(template)
        } else if !self.files.is_empty() {
            From::Files(self.files.iter())
        } else {
            From::Stdin(Lines::of_stdin(MAX_MESSAGE)?)
        };
        let most = match (&from, self.count) {
            (From::Template(_), count) => count.unwrap_or(1),
            (_, count) => count.unwrap_or(u64::MAX),
        };
        Ok(Source {
            from,
            most,
            count: 0,
            size: self.size.unwrap_or(0),
            pace: Pace::new(self.rate),
        })
    }
}

/// Messages that come one after the other, each when it is due.
pub(crate) struct Source<'a> {
    from: From<'a>,
    most: u64,
    count: u64,
    size: usize,
    pace: Pace,
}

enum From<'a> {
    Template(&'a Template),
    Files(std::slice::Iter<'a, PathBuf>),
    Stdin(Lines),
}

impl Source<'_> {
    /// The next message; `None` after the last.
    pub(crate) async fn next(&mut self) -> Outcome<Option<Bytes>> {
        if self.count == self.most {
            return Ok(None);
        }
        self.count += 1;
        let message = match &mut self.from {
            From::Template(template) => {
                // {{time}} is that of this message.
                self.pace.next().await;
                let message = template.fill(self.count).into();
                return Ok(Some(filled(message, self.size)));
            }
            From::Files(files) => files.next().map(|file| read(file)).transpose()?,
            From::Stdin(lines) => lines.next().await?,
        };
        let Some(message) = message else {
            return Ok(None);
        };
        self.pace.next().await;
        Ok(Some(filled(message, self.size)))
    }
}

fn read(file: &Path) -> Outcome<Bytes> {
    let read = || {
        let opened = File::open(file)?;
        let length = opened.metadata()?.len();
        let most = MAX_MESSAGE as u64;
        if length > most {
            return Err(too_large());
        }
        let mut content = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        // A pipe or a device has no length.
        opened.take(most + 1).read_to_end(&mut content)?;
        match content.len() > MAX_MESSAGE {
            true => Err(too_large()),
            false => Ok(content.into()),
        }
    };
    read().map_err(|error| unreadable(file, &error))
}

fn too_large() -> io::Error {
    let text = format!("it is longer than {MAX_MESSAGE} bytes, the most that a message has");
    io::Error::new(io::ErrorKind::FileTooLarge, text)
}

fn unreadable(file: &Path, error: &io::Error) -> Failure {
    Failure::failed(format_args!("{} cannot be read: {error}", shown_path(file)))
        .advise("Each FILE is the name of a file, which is one message; -m TEXT sends a text.")
}

/// The message, with spaces up to `size` bytes.
fn filled(message: Bytes, size: usize) -> Bytes {
    if message.len() >= size {
        return message;
    }
    let mut message = Vec::from(message);
    message.resize(size, b' ');
    message.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_messages_are_filled_with_spaces_and_long_ones_stay() {
        assert_eq!(filled("ab".into(), 4), "ab  ");
        assert_eq!(filled("abcde".into(), 4), "abcde");
    }
}
