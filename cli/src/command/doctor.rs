//! `aiomsg doctor`: each step on the way to a peer, ok or with what to do.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use actix_aiomsg::Identity;
use actix_aiomsg::prelude::*;
use actix_aiomsg::transport::Scheme;
use anstyle::{AnsiColor, Color, Style};
use clap::Args;
use serde_json::json;

use crate::Outcome;
use crate::certificate::{Summary, Validity, day};
use crate::failure::Failure;
use crate::interrupt;
use crate::options::{self, Security};
use crate::output;
use crate::payload_text::harmless;
use crate::probe::{self, Refused};

/// Days before the end of a certificate from which on that is worth a word.
const SOON: u64 = 14;

/// Descriptors below which connections run out early.
const FEW_DESCRIPTORS: u64 = 1024;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The endpoint to look at: `tcp://`, `tls://`, `ws://`, `wss://`, `unix://`.
    endpoint: String,
    /// Who to come as: 32 hexadecimal digits, or a name [default: a random identity].
    #[arg(long, value_name = "NAME", value_parser = options::identity)]
    identity: Option<Identity>,
    #[command(flatten)]
    security: Security,
    /// Stop before HELLO. With HELLO this is a peer for a moment, which may be dealt messages that others then do not get.
    #[arg(long)]
    no_hello: bool,
    /// A JSON object a line: `check`, `status` (ok, warn, fail), `text`, `advice`.
    #[arg(long)]
    json: bool,
    /// Time for each step.
    #[arg(long, default_value = "5s", value_parser = options::duration)]
    timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Ok,
    Warn,
    Fail,
}

/// Prints findings and remembers the worst.
struct Report {
    json: bool,
    failed: usize,
}

impl Report {
    fn ok(&mut self, check: &str, text: impl Into<String>) -> Outcome {
        self.add(Status::Ok, check, text.into(), None)
    }

    fn warn(&mut self, check: &str, text: impl Into<String>, advice: &str) -> Outcome {
        self.add(Status::Warn, check, text.into(), Some(advice))
    }

    fn fail(&mut self, check: &str, text: impl Into<String>, advice: &str) -> Outcome {
        self.failed += 1;
        self.add(Status::Fail, check, text.into(), Some(advice))
    }

    fn add(&self, status: Status, check: &str, text: String, advice: Option<&str>) -> Outcome {
        let (word, color) = match status {
            Status::Ok => ("ok", AnsiColor::Green),
            Status::Warn => ("warn", AnsiColor::Yellow),
            Status::Fail => ("fail", AnsiColor::Red),
        };
        if self.json {
            let line = json!({ "check": check, "status": word, "text": text, "advice": advice });
            return output::print(line.to_string());
        }
        let style = Style::new().bold().fg_color(Some(Color::from(color)));
        let text = harmless(&text);
        output::print(format!("{style}{word:4}{style:#}  {check:11}  {text}"))?;
        match advice {
            Some(advice) => output::print(format!("                   {advice}")),
            None => Ok(()),
        }
    }
}

impl Options {
    pub(crate) async fn run(self) -> Outcome {
        self.security
            .require_use(&[], std::slice::from_ref(&self.endpoint))?;
        let undone = || "not every step was looked at".to_owned();
        interrupt::unless_interrupted(self.examine(), undone).await
    }

    async fn examine(&self) -> Outcome {
        let mut report = Report {
            json: self.json,
            failed: 0,
        };
        self.look(&mut report).await?;
        clock(&mut report)?;
        descriptors(&mut report)?;
        match report.failed {
            0 => Ok(()),
            _ => Err(
                Failure::failed("a peer at this endpoint cannot be reached as it is")
                    .advise("The lines with `fail` say what to do."),
            ),
        }
    }

    /// Goes from step to step, as far as it comes.
    async fn look(&self, report: &mut Report) -> Outcome {
        let endpoint: Endpoint = match self.endpoint.parse() {
            Ok(endpoint) => endpoint,
            Err(error) => {
                let error: actix_aiomsg::transport::ParseEndpointError = error;
                return report.fail(
                    "endpoint",
                    error.to_string(),
                    "An endpoint is scheme://host:port, for instance tcp://localhost:25000.",
                );
            }
        };
        report.ok("endpoint", endpoint.to_string())?;
        let reached = match (endpoint.host(), endpoint.port(), endpoint.path()) {
            (Some(host), Some(port), _) => self.look_at_host(report, &endpoint, host, port).await?,
            (None, _, Some(path)) => self.look_at_file(report, path).await?,
            _ => {
                let advice = "`mem://` is within one process: no other program can reach it.";
                report.fail("endpoint", "nothing to reach", advice)?;
                false
            }
        };
        if reached && !self.no_hello {
            self.look_at_hello(report, &endpoint).await?;
        } else if reached && matches!(endpoint.scheme(), Scheme::Tls | Scheme::Wss) {
            let advice = "--no-hello stops before that; without it this look comes in as a peer.";
            report.warn(
                "trust",
                "it is not known whether the chain is trusted here",
                advice,
            )?;
        }
        Ok(())
    }

    async fn look_at_host(
        &self,
        report: &mut Report,
        endpoint: &Endpoint,
        host: &str,
        port: u16,
    ) -> Outcome<bool> {
        let began = Instant::now();
        let resolving = tokio::time::timeout(self.timeout, probe::resolve(host, port)).await;
        let addresses = match resolving {
            Ok(Ok(addresses)) if !addresses.is_empty() => addresses,
            Ok(Ok(_)) => {
                report.fail("name", format!("{host} has no address"), NAME_ADVICE)?;
                return Ok(false);
            }
            Ok(Err(error)) => {
                report.fail("name", format!("{host}: {error}"), NAME_ADVICE)?;
                return Ok(false);
            }
            Err(_) => {
                let text = format!("{host}: the resolver did not answer in time");
                report.fail("name", text, NAME_ADVICE)?;
                return Ok(false);
            }
        };
        let list: Vec<_> = addresses.iter().map(|a| a.ip().to_string()).collect();
        let took = began.elapsed();
        report.ok(
            "name",
            format!("{host} is {}, in {took:.1?}", list.join(", ")),
        )?;
        let Some(reached) = self.look_at_addresses(report, &addresses).await? else {
            return Ok(false);
        };
        if matches!(endpoint.scheme(), Scheme::Tls | Scheme::Wss) {
            return self.look_at_chain(report, reached, host).await;
        }
        Ok(true)
    }

    /// Connects to every address; yields one that can be reached.
    async fn look_at_addresses(
        &self,
        report: &mut Report,
        addresses: &[SocketAddr],
    ) -> Outcome<Option<SocketAddr>> {
        let mut lines = Vec::new();
        let mut reached = None;
        for address in addresses {
            let began = Instant::now();
            let outcome = probe::connect(*address, self.timeout).await;
            if outcome.is_ok() {
                reached = reached.or(Some(*address));
            }
            lines.push((address, outcome, began.elapsed()));
        }
        for (address, outcome, took) in lines {
            match outcome {
                Ok(()) => report.ok("tcp", format!("{address} in {took:.1?}"))?,
                Err(error) => {
                    let (text, advice) = (format!("{address}: {error}"), tcp_advice(&error));
                    match reached {
                        Some(_) => report.warn(
                            "tcp",
                            text,
                            "Another address of the name can be reached, and is used.",
                        )?,
                        None => report.fail("tcp", text, advice)?,
                    }
                }
            }
        }
        Ok(reached)
    }

    async fn look_at_file(&self, report: &mut Report, path: &str) -> Outcome<bool> {
        #[cfg(unix)]
        {
            let connecting = tokio::net::UnixStream::connect(path);
            let outcome = match tokio::time::timeout(self.timeout, connecting).await {
                Ok(outcome) => outcome,
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            };
            match outcome {
                Ok(_) => report.ok("unix", path)?,
                Err(error) => {
                    let advice = match error.kind() {
                        io::ErrorKind::NotFound => {
                            "There is no such file: is the peer started, and bound to this path?"
                        }
                        io::ErrorKind::PermissionDenied => {
                            "The file or its folder is not for this user."
                        }
                        io::ErrorKind::ConnectionRefused => {
                            "If it is a socket file, it is left over, and nobody listens: start the peer."
                        }
                        _ => "Is it a socket?",
                    };
                    report.fail("unix", format!("{path}: {error}"), advice)?;
                    return Ok(false);
                }
            }
            Ok(true)
        }
        #[cfg(not(unix))]
        {
            report.fail("unix", path, "This system has no Unix-domain sockets here.")?;
            Ok(false)
        }
    }

    /// The chain that the bind end shows, whether it is trusted or not.
    async fn look_at_chain(
        &self,
        report: &mut Report,
        address: SocketAddr,
        host: &str,
    ) -> Outcome<bool> {
        let name = self.security.server_name.as_deref().unwrap_or(host);
        let shown = match probe::chain(address, name, self.timeout).await {
            Ok(shown) => shown,
            Err(error) => {
                let text = format!("no TLS at {address}: {error}");
                let advice = "Does the peer speak TLS? A plain one is tcp:// or ws://.";
                report.fail("tls", text, advice)?;
                return Ok(false);
            }
        };
        report.ok("tls", format!("{} with {address}", shown.version))?;
        let now = SystemTime::now();
        for der in &shown.chain {
            let Some(summary) = Summary::of(der) else {
                report.fail(
                    "certificate",
                    "it cannot be read",
                    "Make the peer's certificate anew.",
                )?;
                continue;
            };
            let line = summary.line();
            match summary.validity(now) {
                Validity::Valid { days_left } if days_left < SOON => {
                    let advice = format!("It ends in {days_left} days: renew it.");
                    report.warn("certificate", line, &advice)?;
                }
                Validity::Valid { .. } => report.ok("certificate", line)?,
                Validity::NotYet => {
                    report.fail(
                        "certificate",
                        line,
                        "It is not valid yet: is this clock right?",
                    )?;
                }
                Validity::Expired => {
                    let advice = format!("It ended on {}: renew it.", day(summary.not_after));
                    report.fail("certificate", line, &advice)?;
                }
            }
        }
        Ok(true)
    }

    async fn look_at_hello(&self, report: &mut Report, endpoint: &Endpoint) -> Outcome {
        let scheme = endpoint.scheme();
        let probing = probe::hello(&self.endpoint, &self.security, self.identity, self.timeout);
        let answered = match probing.await? {
            Some(Ok(answered)) => answered,
            Some(Err(refused)) => return self.refused(report, &refused, scheme),
            None => {
                let advice = probe::advice(&RefusalReason::TimedOut, scheme);
                return report.fail("hello", "no HELLO in time", advice);
            }
        };
        if matches!(scheme, Scheme::Tls | Scheme::Wss) {
            report.ok("trust", "the certificate is trusted, and for this name")?;
        }
        if matches!(scheme, Scheme::Ws | Scheme::Wss) {
            report.ok("websocket", "the upgrade is accepted")?;
        }
        let text = format!(
            "{} over {} at {}, all steps in {:.1?}",
            answered.peer, answered.transport, answered.address, answered.took
        );
        report.ok("hello", text)?;
        match answered.dealt {
            0 => Ok(()),
            dealt => report.warn(
                "messages",
                format!("messages that the peer dealt to this look: {dealt}"),
                "Sent at most once, they are lost. --no-hello looks without coming in.",
            ),
        }
    }

    fn refused(&self, report: &mut Report, refused: &Refused, scheme: Scheme) -> Outcome {
        let reason = &refused.reason;
        let check = match reason {
            RefusalReason::Tls { .. } => "trust",
            RefusalReason::Upgrade(_)
            | RefusalReason::UpgradeUnauthorized
            | RefusalReason::UpgradeForbidden
            | RefusalReason::UpgradeDenied(_) => "websocket",
            _ => "hello",
        };
        let advice = probe::advice(reason, scheme);
        report.fail(check, reason.to_string(), advice)?;
        // What other addresses came to, if there are any.
        for failure in refused.tried.iter().filter(|tried| tried.reason != *reason) {
            report.warn(check, failure.to_string(), "Another address of the name.")?;
        }
        Ok(())
    }
}

const NAME_ADVICE: &str = "Is the name spelled right, and does it resolve here (getent hosts NAME)? An address in its place tells more.";

fn tcp_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "Nobody listens there: is the peer started, on this port, and bound to this address and not to 127.0.0.1 alone?"
        }
        io::ErrorKind::TimedOut => {
            "No answer at all: a firewall in between, or a host that is down."
        }
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "There is no way to that address from here: look at the routes, or leave IPv6 out."
        }
        _ => "Look at the network between here and there.",
    }
}

/// Certificates need a clock that is about right.
fn clock(report: &mut Report) -> Outcome {
    // This program is younger than that.
    let born = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
    let now = SystemTime::now();
    let text = humantime::format_rfc3339_seconds(now).to_string();
    if now < born {
        let advice = "That is past: set the clock, or no certificate is valid.";
        return report.fail("clock", text, advice);
    }
    report.ok("clock", text)
}

fn descriptors(report: &mut Report) -> Outcome {
    let (soft, hard) = match rlimit::Resource::NOFILE.get() {
        Ok(limits) => limits,
        Err(error) => {
            let text = format!("the limit cannot be read: {error}");
            return report.warn("descriptors", text, "It bounds the number of connections.");
        }
    };
    let count = |limit: u64| match limit {
        rlimit::INFINITY => "no limit".to_owned(),
        limit => limit.to_string(),
    };
    let text = format!("{} for this process, at most {}", count(soft), count(hard));
    if soft < FEW_DESCRIPTORS {
        let advice = "Each connection takes one: `ulimit -n 65536` before the program starts.";
        return report.warn("descriptors", text, advice);
    }
    report.ok("descriptors", text)
}
