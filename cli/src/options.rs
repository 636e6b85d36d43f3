//! Options that commands share.

use std::cell::OnceCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use actix_aiomsg::tls::{Tls, TlsClient, TlsConfigError, TlsServer};
use actix_aiomsg::{BindOptions, ConnectOptions, Identity};
use clap::Args;

use crate::Outcome;
use crate::failure::Failure;
use crate::redaction::shown;

/// Where a socket is to be found, and who it is.
#[derive(Debug, Clone, Args)]
pub(crate) struct Ends {
    /// Listen at this endpoint: `tcp://host:port`, `tls://…`, `unix:///path`; port 0 takes a free one. Repeatable.
    #[arg(long, value_name = "URL")]
    pub(crate) bind: Vec<String>,
    /// Dial this endpoint, and again whenever the connection ends: `tcp://`, `tls://`, `ws://`, `wss://`, `unix://`; `dns+tcp://` and its like for all addresses of a name. Repeatable.
    #[arg(long, value_name = "URL")]
    pub(crate) connect: Vec<String>,
    /// Who this end is: 32 hexadecimal digits, or a name that an identity is derived from [default: a random one].
    #[arg(long, value_name = "NAME", value_parser = identity)]
    pub(crate) identity: Option<Identity>,
    #[command(flatten)]
    pub(crate) security: Security,
    /// Let `aiomsg top PATH` look into this end while it runs: the path of a socket file, which is made for this user alone.
    #[arg(long, value_name = "PATH")]
    pub(crate) inspection: Option<PathBuf>,
    /// Say nothing on standard error but errors.
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// TLS, and what a WebSocket upgrade carries.
#[derive(Debug, Clone, Args)]
pub(crate) struct Security {
    /// Authorities in PEM: whom a connect end trusts [default: the system's], and from whom a bind end demands client certificates.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Our certificate with its chain, in PEM. A bind end with TLS needs one.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// The private key of --cert, in PEM.
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// The name that the bind end's certificate must have [default: the host of the endpoint].
    #[arg(long, value_name = "NAME")]
    pub(crate) server_name: Option<String>,
    /// A header of the WebSocket upgrade at each `ws://` and `wss://` endpoint that is dialled, for instance `Authorization: Bearer …`. Repeatable.
    #[arg(long, value_name = "NAME: VALUE", value_parser = header)]
    pub(crate) header: Vec<(String, String)>,
    #[arg(skip)]
    read: Rc<Read>,
}

/// What the files hold, read when it is first needed, and once: a pipe has it no second time.
#[derive(Debug, Default)]
struct Read {
    server: OnceCell<TlsServer>,
    client: OnceCell<TlsClient>,
}

impl Ends {
    /// Refuses a command line that names no endpoint.
    pub(crate) fn require(&self) -> Outcome {
        if self.bind.is_empty() && self.connect.is_empty() {
            return Err(Failure::usage("there is nobody to talk to")
                .advise("Say where: --connect tcp://host:25000, or --bind tcp://0.0.0.0:25000"));
        }
        self.security.require_use(&self.bind, &self.connect)
    }
}

impl Security {
    /// Refuses options of TLS where none of these endpoints wants it: what is meant to be safe would be plain. So it does
    /// with headers where nothing is dialled that has an upgrade: nobody would send them.
    pub(crate) fn require_use(&self, bind: &[String], connect: &[String]) -> Outcome {
        if !self.header.is_empty() && !any(connect, wants_upgrade) {
            let text =
                "--header is for a WebSocket upgrade, and no endpoint that is dialled here has one";
            return Err(Failure::usage(text)
                .advise("ws and wss endpoints do: --connect ws://host/path, or wss://."));
        }
        let option = match self {
            Self { ca: Some(_), .. } => "--ca is",
            Self { cert: Some(_), .. } => "--cert and --key are",
            Self {
                server_name: Some(_),
                ..
            } => "--server-name is",
            _ => return Ok(()),
        };
        if any(bind, wants_tls) || any(connect, wants_tls) {
            return Ok(());
        }
        let text = format!("{option} for TLS, and no endpoint here speaks it");
        Err(Failure::usage(text).advise("tls:// and wss:// endpoints do."))
    }

    /// For these endpoints alone: without what only TLS or an upgrade needs, if none of them wants it.
    pub(crate) fn for_endpoints(mut self, bind: &[String], connect: &[String]) -> Self {
        if !any(bind, wants_tls) && !any(connect, wants_tls) {
            (self.ca, self.cert, self.key, self.server_name) = (None, None, None, None);
        }
        if !any(connect, wants_upgrade) {
            self.header.clear();
        }
        self
    }

    /// What a bind end is bound with.
    pub(crate) fn bind_options(&self, endpoint: &str) -> Outcome<BindOptions> {
        let options = BindOptions::new();
        if !wants_tls(endpoint) {
            return Ok(options);
        }
        Ok(options.tls(self.server(endpoint)?))
    }

    /// What a connect end connects with.
    pub(crate) fn connect_options(&self, endpoint: &str) -> Outcome<ConnectOptions> {
        let mut options = ConnectOptions::new();
        if wants_upgrade(endpoint) {
            for (name, value) in &self.header {
                options = options.header(name, value);
            }
        }
        if !wants_tls(endpoint) {
            return Ok(options);
        }
        Ok(options.tls(self.client()?))
    }

    /// The bind end's side of TLS, of which clones share one.
    fn server(&self, endpoint: &str) -> Outcome<TlsServer> {
        let (Some(cert), Some(key)) = (&self.cert, &self.key) else {
            return Err(Failure::usage(format_args!("{} needs a certificate", shown(endpoint))).advise(
                "Give --cert and --key. `aiomsg cert ca` and `aiomsg cert server HOST` make them for development.",
            ));
        };
        once(&self.read.server, || {
            let mut server = Tls::server(cert, key);
            if let Some(ca) = &self.ca {
                server = server.client_ca(ca);
            }
            server.build()
        })
    }

    /// The connect end's side of TLS, of which clones share one.
    fn client(&self) -> Outcome<TlsClient> {
        once(&self.read.client, || {
            let mut client = Tls::client();
            if let Some(ca) = &self.ca {
                client = client.ca(ca);
            }
            if let (Some(cert), Some(key)) = (&self.cert, &self.key) {
                client = client.certificate(cert, key);
            }
            if let Some(name) = &self.server_name {
                client = client.server_name(name);
            }
            client.build()
        })
    }
}

/// What `build` makes, the first time.
fn once<T: Clone>(
    built: &OnceCell<T>,
    build: impl FnOnce() -> Result<T, TlsConfigError>,
) -> Outcome<T> {
    if let Some(built) = built.get() {
        return Ok(built.clone());
    }
    let made = build().map_err(unusable)?;
    Ok(built.get_or_init(|| made).clone())
}

/// Certificates or keys that cannot be used.
fn unusable(error: TlsConfigError) -> Failure {
    Failure::failed(error).advise(
        "--ca, --cert and --key name files in PEM. `aiomsg cert ca`, `aiomsg cert server HOST` and `aiomsg cert client NAME` make them for development.",
    )
}

/// Whether the scheme speaks TLS.
fn wants_tls(endpoint: &str) -> bool {
    matches!(&*scheme(endpoint), "tls" | "wss")
}

/// Whether a connect end of the scheme asks for a WebSocket upgrade.
fn wants_upgrade(endpoint: &str) -> bool {
    matches!(&*scheme(endpoint), "ws" | "wss")
}

/// The scheme in small letters, also behind `dns+`.
fn scheme(endpoint: &str) -> String {
    let scheme = endpoint.split_once("://").map_or("", |(scheme, _)| scheme);
    let scheme = scheme.to_ascii_lowercase();
    scheme.strip_prefix("dns+").unwrap_or(&scheme).to_owned()
}

fn any(endpoints: &[String], wants: fn(&str) -> bool) -> bool {
    endpoints.iter().any(|endpoint| wants(endpoint))
}

/// An identity by its digits, or of a name.
pub(crate) fn identity(text: &str) -> Result<Identity, String> {
    if text.is_empty() {
        return Err("a name has at least one character".to_owned());
    }
    Ok(text.parse().unwrap_or_else(|_| Identity::from_name(text)))
}

/// A duration with its unit.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; for instance 500ms, 5s, 1m"))
}

/// A number of bytes, with k or M for 1024 and its square.
pub(crate) fn bytes(text: &str) -> Result<usize, String> {
    let wrong = || "a number of bytes, for instance 64, 16k, 1M".to_owned();
    let (digits, unit) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1024),
        None => match text.strip_suffix('M') {
            Some(digits) => (digits, 1024 * 1024),
            None => (text, 1),
        },
    };
    let number: usize = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(unit).ok_or_else(wrong)
}

/// A count, with k or M for thousands and millions.
pub(crate) fn count(text: &str) -> Result<u64, String> {
    let wrong = || "a count, for instance 100, 10k, 1M".to_owned();
    let (digits, unit) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1_000),
        None => match text.strip_suffix('M') {
            Some(digits) => (digits, 1_000_000),
            None => (text, 1),
        },
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(unit).ok_or_else(wrong)
}

/// A count that is not nothing.
pub(crate) fn some(text: &str) -> Result<u64, String> {
    match count(text)? {
        0 => Err("a count of at least 1".to_owned()),
        count => Ok(count),
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("a header is `Name: value`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_wanted_by_its_schemes_also_where_a_name_is_followed() {
        for secure in ["tls://h", "WSS://h", "dns+tls://h:1", "DNS+wss://h/p"] {
            assert!(wants_tls(secure), "{secure}");
        }
        for plain in ["h:1", "dns+tcp://h:1", "dns+ws://h", "unix:///tls"] {
            assert!(!wants_tls(plain), "{plain}");
        }
    }

    #[test]
    fn an_upgrade_is_wanted_by_its_schemes_also_where_a_name_is_followed() {
        for upgraded in ["ws://h", "WSS://h/p", "dns+ws://h:1", "DNS+wss://h/p"] {
            assert!(wants_upgrade(upgraded), "{upgraded}");
        }
        for other in ["ws", "h:1", "tcp://h:1", "dns+tls://h:1", "unix:///ws"] {
            assert!(!wants_upgrade(other), "{other}");
        }
    }

    #[test]
    fn identities_are_digits_or_names() {
        let digits = "0123456789abcdef0123456789abcdef";
        assert_eq!(identity(digits).unwrap().to_string(), digits);
        assert_eq!(identity("desk").unwrap(), Identity::from_name("desk"));
        assert!(identity("").is_err());
    }

    #[test]
    fn sizes_count_in_1024_and_counts_in_1000() {
        assert_eq!(bytes("16k"), Ok(16_384));
        assert_eq!(bytes("1M"), Ok(1_048_576));
        assert_eq!(count("10k"), Ok(10_000));
        assert!(count("0") == Ok(0) && some("0").is_err() && some("1") == Ok(1));
        for wrong in ["", "k", "-1", "1x", "99999999999999999999M"] {
            assert!(bytes(wrong).is_err() && count(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_header_has_a_name_and_a_value() {
        let parsed = header("Authorization:  Bearer a:b ").unwrap();
        assert_eq!(parsed, ("Authorization".into(), "Bearer a:b".into()));
        assert!(header("nothing").is_err() && header(": x").is_err());
    }
}
