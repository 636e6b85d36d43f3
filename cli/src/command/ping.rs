//! `aiomsg ping`: how long it takes to come in.

use std::time::Duration;

use actix_aiomsg::Identity;
use actix_aiomsg::prelude::*;
use clap::Args;
use serde_json::json;

use crate::Outcome;
use crate::failure::Failure;
use crate::interrupt;
use crate::options::{self, Security};
use crate::output;
use crate::probe;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The endpoint of the peer.
    endpoint: String,
    /// Who to come as: 32 hexadecimal digits, or a name [default: a random identity].
    #[arg(long, value_name = "NAME", value_parser = options::identity)]
    identity: Option<Identity>,
    #[command(flatten)]
    security: Security,
    /// So many times; 0 is until Ctrl-C.
    #[arg(long, short = 'n', default_value_t = 4)]
    count: u64,
    /// The pause between two.
    #[arg(long, short, default_value = "1s", value_parser = options::duration)]
    interval: Duration,
    /// A JSON object a line.
    #[arg(long)]
    json: bool,
    /// Give up each after so long.
    #[arg(long, default_value = "5s", value_parser = options::duration)]
    timeout: Duration,
}

impl Options {
    pub(crate) async fn run(self) -> Outcome {
        let endpoint: Endpoint = self.endpoint.parse().map_err(Failure::usage)?;
        self.security
            .require_use(&[], std::slice::from_ref(&self.endpoint))?;
        let mut times = Vec::new();
        let mut tried = 0_u64;
        let work = async {
            while self.count == 0 || tried < self.count {
                if tried > 0 {
                    tokio::time::sleep(self.interval).await;
                }
                // One that a signal cuts short is none.
                times.extend(self.one(&endpoint, tried + 1).await?);
                tried += 1;
            }
            Ok(())
        };
        let worked: Outcome = tokio::select! {
            biased;
            worked = work => worked,
            // What came by then is summed up.
            _ = interrupt::signal() => Ok(()),
        };
        worked?;
        if !self.json {
            summary(&mut times, tried)?;
        }
        match tried - times.len() as u64 {
            0 => Ok(()),
            failed => Err(
                Failure::failed(format_args!("{failed} of {tried} failed")).advise(format_args!(
                    "`aiomsg doctor {endpoint}` looks at each step."
                )),
            ),
        }
    }

    async fn one(&self, endpoint: &Endpoint, number: u64) -> Outcome<Option<Duration>> {
        let probing = probe::hello(&self.endpoint, &self.security, self.identity, self.timeout);
        let (text, line, took) = match probing.await? {
            Some(Ok(answered)) => {
                let took = answered.took;
                let (peer, transport) = (answered.peer, answered.transport);
                let text = format!("{number}: {peer} over {transport} in {took:.1?}");
                let milliseconds = took.as_secs_f64() * 1e3;
                let line = json!({
                    "number": number,
                    "peer": peer.to_string(),
                    "transport": transport.to_string(),
                    "milliseconds": milliseconds,
                });
                (text, line, Some(took))
            }
            Some(Err(refused)) => {
                let reason = refused.reason.to_string();
                let text = format!("{number}: {endpoint}: {reason}");
                (text, json!({ "number": number, "error": reason }), None)
            }
            None => {
                let text = format!("{number}: {endpoint}: no HELLO in time");
                let line = json!({ "number": number, "error": "no HELLO in time" });
                (text, line, None)
            }
        };
        output::print(if self.json { line.to_string() } else { text })?;
        Ok(took)
    }
}

fn summary(times: &mut [Duration], tried: u64) -> Outcome {
    times.sort_unstable();
    let times = &*times;
    let text = match times {
        [] => format!("0 of {tried} answered"),
        [fastest, .., slowest] => {
            let median = times[times.len() / 2];
            let answered = times.len();
            format!(
                "{answered} of {tried} answered; fastest {fastest:.1?}, median {median:.1?}, slowest {slowest:.1?}"
            )
        }
        [only] => format!("1 of {tried} answered, in {only:.1?}"),
    };
    output::print(text)
}
