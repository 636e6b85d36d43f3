//! `aiomsg top`: a look into running sockets.

mod demo;
mod details;
mod diagnose;
mod once;
mod peer_row;
mod rates;
mod screen;
mod source;
mod state;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use actix_aiomsg::inspection::Report;
use clap::Args;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use tokio::sync::oneshot;

use self::demo::Demo;
use self::screen::Theme;
use self::source::{Endpoint, Reports};
use self::state::{Next, State, Watched};
use crate::Outcome;
use crate::failure::Failure;
use crate::interrupt;
use crate::options;
use crate::output;
use crate::redaction::shown_path;

/// How long a key may wait for its answer.
const KEYS: Duration = Duration::from_millis(50);

/// The pause after which an endpoint that is gone is looked for again.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The inspection endpoints of sockets [default: those in $XDG_RUNTIME_DIR/aiomsg].
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The time between two looks.
    #[arg(long, short, value_name = "TIME", value_parser = pause, default_value = "1s")]
    interval: Duration,
    /// Print one look, over one interval, and end.
    #[arg(long)]
    once: bool,
    /// One look, as a JSON object a line for each socket.
    #[arg(long)]
    json: bool,
    /// One look: print what is wrong, and end with 5 if anything is.
    #[arg(long)]
    check: bool,
    /// A made-up system that is not well; no socket is needed.
    #[arg(long, conflicts_with = "paths")]
    demo: bool,
}

fn pause(text: &str) -> Result<Duration, String> {
    let pause = options::duration(text)?;
    match pause >= Duration::from_millis(100) {
        true => Ok(pause),
        false => Err("at least 100ms".to_owned()),
    }
}

/// A socket to look at, or why that cannot be, and its name for people.
type Source = (String, Outcome<Box<dyn Reports>>);

impl Options {
    pub(crate) async fn run(self) -> Outcome {
        let is_once = self.once || self.json || self.check;
        let is_terminal = io::stdout().is_terminal() && io::stdin().is_terminal();
        if !is_once && !is_terminal {
            return Err(Failure::usage("the live view needs a terminal")
                .advise("--once prints one look, --json prints it for machines, --check says whether anything is wrong."));
        }
        // Reading blocks, and so does a terminal: the signals are for this thread.
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (done, mut ended) = oneshot::channel();
        let work = move || {
            let outcome = match is_once {
                true => self.look_once(),
                false => self.look_on(&stopped),
            };
            // Nobody waits for it after a signal.
            let _ = done.send(outcome);
        };
        let started = thread::Builder::new().name("look".to_owned()).spawn(work);
        started.map_err(|error| Failure::failed(format_args!("no thread to look: {error}")))?;
        let outcome = tokio::select! {
            outcome = &mut ended => outcome,
            signal = interrupt::signal() => {
                if is_once {
                    return Err(Failure::interrupted(signal, "the look was not over"));
                }
                // The terminal is as it was before this process ends.
                stop.store(true, Ordering::Relaxed);
                ended.await
            }
        };
        outcome.unwrap_or_else(|_| Err(Failure::failed("the look has panicked")))
    }

    fn sources(&mut self) -> Outcome<Vec<Source>> {
        if self.demo {
            let demo: Box<dyn Reports> = Box::new(Demo::new(self.interval));
            return Ok(vec![("demo".to_owned(), Ok(demo))]);
        }
        let paced = |(endpoint, path): (Outcome<Endpoint>, PathBuf)| -> Source {
            let name = shown_path(&path);
            let paced = |endpoint| -> Box<dyn Reports> {
                Box::new(Paced::new(path, endpoint, self.interval))
            };
            (name, endpoint.map(paced))
        };
        let endpoints = source::endpoints(std::mem::take(&mut self.paths))?;
        Ok(endpoints.into_iter().map(paced).collect())
    }

    fn look_once(mut self) -> Outcome {
        let mut is_well = true;
        let mut failure: Option<Failure> = None;
        for (place, source) in self.sources()? {
            let watched = match source.and_then(|source| watched_over_one_pause(place, source)) {
                Ok(watched) => watched,
                // The others are looked at all the same.
                Err(failed) => {
                    if let Some(earlier) = failure.replace(failed) {
                        earlier.tell();
                    }
                    continue;
                }
            };
            is_well &= watched.diagnoses.is_empty();
            output::print(match (self.json, self.once) {
                (true, _) => once::as_json(&watched),
                (false, true) => once::as_text(&watched),
                (false, false) => once::diagnoses(&watched),
            })?;
        }
        match failure {
            Some(failure) => Err(failure),
            None if self.check && !is_well => Err(Failure::unwell()),
            None => Ok(()),
        }
    }

    fn look_on(mut self, stop: &AtomicBool) -> Outcome {
        let sources = self.sources()?;
        let mut state = State::default();
        // Each source waits until what it told last is looked at.
        let (sender, reports) = mpsc::sync_channel(1);
        for (number, (place, source)) in sources.into_iter().enumerate() {
            state.watched.push(Watched::new(place));
            follow(number, source?, sender.clone())?;
        }
        let shown = on_screen(
            ratatui::try_init,
            |mut terminal| show(&mut terminal, &mut state, &reports, stop),
            ratatui::restore,
        );
        shown.map_err(|error| {
            Failure::failed(format_args!("the terminal: {error}"))
                .advise("--once prints one look, and needs no terminal.")
        })
    }
}

/// Two reports, of which rates are the difference.
fn watched_over_one_pause(place: String, mut source: Box<dyn Reports>) -> Outcome<Watched> {
    let mut watched = Watched::new(place);
    for _ in 0..2 {
        let failed = |why| Failure::failed(format_args!("{}: {why}", watched.place));
        let report = source.next().map_err(failed)?;
        watched.handle(Ok(report));
    }
    Ok(watched)
}

/// Shows something on the screen, which is as it was afterwards, even if it could be opened only in part.
fn on_screen<T>(
    open: impl FnOnce() -> io::Result<T>,
    show: impl FnOnce(T) -> io::Result<()>,
    restore: impl FnOnce(),
) -> io::Result<()> {
    let shown = open().and_then(show);
    restore();
    shown
}

/// Draws and answers keys until somebody quits.
fn show(
    terminal: &mut DefaultTerminal,
    state: &mut State,
    reports: &Receiver<Told>,
    stop: &AtomicBool,
) -> io::Result<()> {
    let theme = Theme::of_environment();
    let mut changed = true;
    while !stop.load(Ordering::Relaxed) {
        if changed {
            terminal.draw(|frame| screen::draw(frame, state, theme))?;
            changed = false;
        }
        if event::poll(KEYS)? {
            changed = true;
            if let Event::Key(key) = event::read()?
                && key.kind != KeyEventKind::Release
                && state.handle_key(key) == Next::Quit
            {
                return Ok(());
            }
        }
        while let Ok((socket, report)) = reports.try_recv() {
            state.handle_report(socket, report);
            changed = true;
        }
    }
    Ok(())
}

/// A report of a socket, by its number, or why there is none.
type Told = (usize, Result<Report, String>);

/// Starts a thread that hands on what a source tells.
fn follow(number: usize, mut source: Box<dyn Reports>, reports: SyncSender<Told>) -> Outcome {
    let thread = thread::Builder::new().name("reports".to_owned());
    let started = thread.spawn(move || while reports.send((number, source.next())).is_ok() {});
    let failed = |error| Failure::failed(format_args!("no thread for the reports: {error}"));
    started.map(drop).map_err(failed)
}

/// The age of a connection, since it was used last, at which another takes its place: a socket lets a watcher go that has asked
/// for nothing for 60 s.
const STALE: Duration = Duration::from_secs(50);

/// An endpoint that is asked again after a pause, and is looked for when it has gone.
struct Paced {
    path: PathBuf,
    endpoint: Option<Endpoint>,
    /// When the endpoint was connected, or told a report.
    used: Instant,
    interval: Duration,
    asked: bool,
}

impl Paced {
    fn new(path: PathBuf, endpoint: Endpoint, interval: Duration) -> Self {
        Self {
            path,
            endpoint: Some(endpoint),
            used: Instant::now(),
            interval,
            asked: false,
        }
    }
}

impl Reports for Paced {
    fn next(&mut self) -> Result<Report, String> {
        if std::mem::replace(&mut self.asked, true) {
            thread::sleep(self.interval);
        }
        if self.used.elapsed() >= STALE {
            self.endpoint = None;
        }
        let mut endpoint = match self.endpoint.take() {
            Some(endpoint) => endpoint,
            None => match Endpoint::connect(&self.path) {
                Ok(endpoint) => endpoint,
                Err(_) => {
                    thread::sleep(AGAIN.saturating_sub(self.interval));
                    return Err("it is gone".to_owned());
                }
            },
        };
        let report = endpoint.next()?;
        self.endpoint = Some(endpoint);
        self.used = Instant::now();
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_connection_that_was_silent_for_long_is_not_asked_again() {
        use std::io::{BufRead, BufReader, Write};
        let path = std::env::temp_dir().join(format!("aiomsg-top-{}", std::process::id()));
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let old = Endpoint::connect(&path).unwrap();
        let (silent, _) = listener.accept().unwrap();
        drop(silent);
        let mut paced = Paced::new(path.clone(), old, Duration::ZERO);
        paced.used = Instant::now().checked_sub(STALE).unwrap();
        let answering = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut stream = BufReader::new(stream);
            stream.read_line(&mut String::new()).unwrap();
            writeln!(stream.get_mut(), "{{\"format\":1,\"identity\":\"a\"}}").unwrap();
        });
        assert_eq!(paced.next().unwrap().identity, "a");
        answering.join().unwrap();
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_screen_that_cannot_be_opened_is_as_it_was_all_the_same() {
        let mut restored = false;
        let open = || Err::<(), _>(io::Error::other("half of it"));
        let shown = on_screen(
            open,
            |()| unreachable!("it is not open"),
            || restored = true,
        );
        assert_eq!(shown.unwrap_err().to_string(), "half of it");
        assert!(restored);
    }
}
