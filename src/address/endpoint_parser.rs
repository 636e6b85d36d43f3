//! Reading an endpoint, with errors that name the part that is wrong.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::endpoint::{Endpoint, Location};
use super::endpoint_error::ParseEndpointError;
use super::scheme::Scheme;

/// Stands before the scheme of a name that is followed by DNS.
const DNS: &str = "dns+";

impl FromStr for Endpoint {
    type Err = ParseEndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(ParseEndpointError::Empty);
        }
        if text.trim() != text {
            let text = quoted(text);
            return Err(ParseEndpointError::WhiteSpace { text });
        }
        let (scheme, follows_dns, rest) = match text.split_once("://") {
            None => match meant(text) {
                Some(meant) => return Err(ParseEndpointError::Slashes { meant }),
                None => (Scheme::Tcp, false, text),
            },
            Some((name, rest)) => {
                let unknown = || ParseEndpointError::Scheme {
                    scheme: quoted(name),
                };
                let (scheme, follows_dns) = parse_scheme(name).ok_or_else(unknown)?;
                (scheme, follows_dns, rest)
            }
        };
        let place = match scheme {
            Scheme::Tcp | Scheme::Tls | Scheme::Ws | Scheme::Wss => parse_network(scheme, rest)?,
            Scheme::Unix => parse_socket_path(rest)?,
            Scheme::Memory => parse_name(rest)?,
        };
        Ok(Self::new(scheme, place).following_dns(follows_dns))
    }
}

/// A scheme, and whether `dns+` stands before it. Only what runs over a network has a name to follow.
fn parse_scheme(text: &str) -> Option<(Scheme, bool)> {
    let name = match text.get(..DNS.len()) {
        Some(prefix) if prefix.eq_ignore_ascii_case(DNS) => &text[DNS.len()..],
        Some(_) | None => return Some((Scheme::parse(text)?, false)),
    };
    let scheme = Scheme::parse(name)?;
    (!matches!(scheme, Scheme::Unix | Scheme::Memory)).then_some((scheme, true))
}

/// What a text without `://` was probably meant to be, if that is not a host with its port.
fn meant(text: &str) -> Option<String> {
    if text.contains('@') {
        return None;
    }
    if text.starts_with('/') {
        return Some(format!("unix://{}", quoted(text)));
    }
    let (name, rest) = text.split_once(':')?;
    let scheme = Scheme::parse(name)?;
    // A host may have the name of a scheme.
    if rest.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let rest = quoted(rest.trim_start_matches('/'));
    let root = if scheme == Scheme::Unix { "/" } else { "" };
    Some(format!("{scheme}://{root}{rest}"))
}

/// Quotes a part of an endpoint in an error, without the password or the token that may be in it.
fn quoted(text: &str) -> String {
    let (hidden, text) = match text.rsplit_once('@') {
        Some((_, rest)) => ("…@", rest),
        None => ("", text),
    };
    match text.split_once('?') {
        Some((shown, _)) => format!("{hidden}{shown}?…"),
        None => format!("{hidden}{text}"),
    }
}

fn parse_network(scheme: Scheme, rest: &str) -> Result<Location, ParseEndpointError> {
    // A password may hold any character, so every slip in a text with an `@` may be part of one.
    let place = parse_url(scheme, rest);
    place.map_err(|error| match rest.contains('@') {
        true => ParseEndpointError::UserInfo,
        false => error,
    })
}

fn parse_url(scheme: Scheme, rest: &str) -> Result<Location, ParseEndpointError> {
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let path = parse_request_path(scheme, path)?;
    let (host, port) = split_authority(authority)?;
    let port = port.map_or(Ok(scheme.default_port()), parse_port)?;
    Ok(Location::Network {
        host: host.into(),
        port,
        path,
    })
}

/// Parses the text behind the authority: a request target for WebSocket, nothing for the others.
fn parse_request_path(scheme: Scheme, path: &str) -> Result<String, ParseEndpointError> {
    let wrong = || ParseEndpointError::Path { path: quoted(path) };
    match scheme {
        Scheme::Ws | Scheme::Wss if path.is_empty() => Ok("/".into()),
        Scheme::Ws | Scheme::Wss if path.starts_with('?') => {
            parse_request_path(scheme, &format!("/{path}"))
        }
        Scheme::Ws | Scheme::Wss => {
            // Only what may stand in a request line, so that no endpoint can smuggle a header.
            let legal = path
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'#');
            if path.starts_with('/') && legal {
                Ok(path.into())
            } else {
                Err(wrong())
            }
        }
        Scheme::Tcp | Scheme::Tls | Scheme::Unix | Scheme::Memory => {
            if matches!(path, "" | "/") {
                Ok(String::new())
            } else {
                Err(wrong())
            }
        }
    }
}

fn split_authority(authority: &str) -> Result<(&str, Option<&str>), ParseEndpointError> {
    let wrong = || ParseEndpointError::Host {
        host: authority.into(),
    };
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or_else(wrong)?;
        let (address, zone) = host.split_once('%').unwrap_or((host, "0"));
        // As in URLs of RFC 6874. A zone of digits alone is the number of an interface.
        if let Some(name) = zone.strip_prefix("25")
            && name.starts_with(|c: char| !c.is_ascii_digit())
        {
            return Err(ParseEndpointError::Zone { zone: name.into() });
        }
        if address.parse::<Ipv6Addr>().is_err() || !is_name(zone) {
            return Err(wrong());
        }
        let port = if rest.is_empty() {
            None
        } else {
            Some(rest.strip_prefix(':').ok_or_else(wrong)?)
        };
        return Ok((host, port));
    }
    if authority.bytes().filter(|byte| *byte == b':').count() > 1 {
        return Err(ParseEndpointError::Brackets {
            host: authority.into(),
        });
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    // Digits and dots that are no IPv4 address are a slip, not a name.
    let numeric = host
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    if !is_name(host) || (numeric && host.parse::<Ipv4Addr>().is_err()) {
        return Err(ParseEndpointError::Host { host: host.into() });
    }
    Ok((host, port))
}

fn is_name(host: &str) -> bool {
    let legal = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    !host.is_empty() && host.chars().all(legal)
}

fn parse_port(port: &str) -> Result<u16, ParseEndpointError> {
    // `u16::from_str` takes a leading plus, which is no port.
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let wrong = || ParseEndpointError::Port { port: port.into() };
    port.parse().ok().filter(|_| digits).ok_or_else(wrong)
}

fn parse_socket_path(path: &str) -> Result<Location, ParseEndpointError> {
    let legal = path.starts_with('/') && !path.ends_with('/') && !path.contains('\0');
    if legal {
        Ok(Location::Local(path.into()))
    } else {
        Err(ParseEndpointError::SocketPath { path: quoted(path) })
    }
}

fn parse_name(name: &str) -> Result<Location, ParseEndpointError> {
    let legal = !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control());
    if legal {
        Ok(Location::Local(name.into()))
    } else {
        Err(ParseEndpointError::Name { name: quoted(name) })
    }
}

#[cfg(test)]
#[path = "endpoint_tests.rs"]
mod tests;
