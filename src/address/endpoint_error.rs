//! Faults in the text of an endpoint.

/// The text is not an [`Endpoint`](crate::Endpoint); each variant says which part is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseEndpointError {
    /// The text is empty.
    #[error("an endpoint is empty; write for instance tcp://127.0.0.1:25000")]
    Empty,
    /// White space stands before or behind the endpoint, as the end of a line that was read from a file.
    #[error("white space stands around the endpoint {text:?}; trim it")]
    WhiteSpace {
        /// The text as it was written.
        text: String,
    },
    /// A scheme or a path of a socket file stands without `://`.
    #[error("a scheme ends with ://; write for instance {meant}")]
    Slashes {
        /// What was probably meant.
        meant: String,
    },
    /// The part before `://` is none of the known schemes.
    #[error(
        "the scheme {scheme:?} is unknown; use tcp, tls, ws, wss, unix or mem, or dns+tcp and its like{}",
        meant(scheme)
    )]
    Scheme {
        /// The part before `://`.
        scheme: String,
    },
    /// The host is empty, or neither an address nor a name.
    #[error(
        "the host {host:?} is neither an address nor a name; {}",
        host_meant(host)
    )]
    Host {
        /// The host as it was written.
        host: String,
    },
    /// A user or a password stands before the host. They are no part of an endpoint; the text is not repeated
    /// here, so that no log has the password.
    #[error(
        "an endpoint has no user and no password; give the bind end of a ws or wss endpoint a header: \
         ConnectOptions::new().header(\"Authorization\", …)"
    )]
    UserInfo,
    /// The zone of an IPv6 address is percent-encoded.
    #[error("the zone is percent-encoded; write it with a plain percent sign: %{zone}")]
    Zone {
        /// The zone as it should be written.
        zone: String,
    },
    /// An IPv6 address stands without brackets, so that its port cannot be told apart.
    #[error("the host {host:?} has several colons; write an IPv6 address in brackets: [::1]:25000")]
    Brackets {
        /// Host and port as they were written.
        host: String,
    },
    /// The port is not a number from 0 to 65535.
    #[error("the port {port:?} is not a number from 0 to 65535")]
    Port {
        /// The port as it was written.
        port: String,
    },
    /// A path where none belongs (`tcp`, `tls`), or one that cannot stand in a request line.
    #[error(
        "the path {path:?} is out of place; only ws and wss take one, \
         of printable ASCII without a fragment"
    )]
    Path {
        /// The path as it was written.
        path: String,
    },
    /// The path of a `unix` endpoint is not absolute, or names a directory.
    #[error(
        "the socket path {path:?} is not absolute, or ends with a slash; write for instance unix:///run/app.sock"
    )]
    SocketPath {
        /// The path as it was written.
        path: String,
    },
    /// The name of a `mem` endpoint is empty or holds white space.
    #[error("the name {name:?} is empty or holds white space; write for instance mem://jobs")]
    Name {
        /// The name as it was written.
        name: String,
    },
}

/// A suggestion, where it is plain what was meant: the names of other libraries, and letters in disorder.
fn meant(scheme: &str) -> String {
    let scheme = scheme.to_ascii_lowercase();
    let sorted = |text: &str| {
        let mut letters: Vec<_> = text.bytes().collect();
        letters.sort_unstable();
        letters
    };
    let meant = match &scheme[..] {
        "http" => Some("ws"),
        "https" => Some("wss"),
        "ipc" => Some("unix"),
        "dns" | "srv" | "dns+srv" => Some("dns+tcp"),
        "inproc" => Some("mem"),
        "ssl" | "tcps" => Some("tls"),
        _ => ["tcp", "tls", "wss", "unix", "mem"]
            .into_iter()
            .find(|known| sorted(known) == sorted(&scheme)),
    };
    meant.map_or_else(String::new, |meant| format!(" (here {meant}, it seems)"))
}

/// What was probably meant by a host that is none.
fn host_meant(host: &str) -> String {
    match host.parse::<u16>() {
        Ok(port) => format!("a port has a host before it, for instance 127.0.0.1:{port}"),
        Err(_) => "to bind every interface write 0.0.0.0 or [::]".to_owned(),
    }
}
