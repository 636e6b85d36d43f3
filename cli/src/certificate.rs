//! What people want to know of a certificate.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Whom a certificate is for, who has signed it, and for how long it holds.
pub(crate) struct Summary {
    pub(crate) subject: String,
    pub(crate) names: Vec<String>,
    pub(crate) issuer: String,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
}

/// How a certificate stands at a time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Validity {
    NotYet,
    Valid { days_left: u64 },
    Expired,
}

impl Summary {
    /// `None` for what is no certificate.
    pub(crate) fn of(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let names = match certificate.subject_alternative_name() {
            Ok(Some(extension)) => extension.value.general_names.iter().map(shown).collect(),
            _ => Vec::new(),
        };
        let validity = certificate.validity();
        Some(Self {
            subject: certificate.subject().to_string(),
            names,
            issuer: certificate.issuer().to_string(),
            not_before: time(validity.not_before.timestamp()),
            not_after: time(validity.not_after.timestamp()),
        })
    }

    pub(crate) fn validity(&self, now: SystemTime) -> Validity {
        if now < self.not_before {
            return Validity::NotYet;
        }
        match self.not_after.duration_since(now) {
            Ok(left) => Validity::Valid {
                days_left: left.as_secs() / 86_400,
            },
            Err(_) => Validity::Expired,
        }
    }

    /// `CN=desk (desk.example, 10.0.0.1), signed by CN=office, 2026-01-01 to 2027-01-01`
    pub(crate) fn line(&self) -> String {
        let names = match self.names.as_slice() {
            [] => String::new(),
            names => format!(" ({})", names.join(", ")),
        };
        format!(
            "{}{names}, signed by {}, {} to {}",
            self.subject,
            self.issuer,
            day(self.not_before),
            day(self.not_after)
        )
    }
}

fn shown(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) => (*name).to_owned(),
        GeneralName::URI(uri) => (*uri).to_owned(),
        GeneralName::IPAddress([a, b, c, d]) => format!("{a}.{b}.{c}.{d}"),
        GeneralName::IPAddress(bytes) => match <[u8; 16]>::try_from(*bytes) {
            Ok(bytes) => std::net::Ipv6Addr::from(bytes).to_string(),
            Err(_) => "an address that is none".to_owned(),
        },
        other => other.to_string(),
    }
}

fn time(seconds: i64) -> SystemTime {
    match u64::try_from(seconds) {
        Ok(seconds) => UNIX_EPOCH + Duration::from_secs(seconds),
        Err(_) => UNIX_EPOCH,
    }
}

/// The day of a time, in UTC.
pub(crate) fn day(time: SystemTime) -> String {
    // Beyond the year 9999 it has no text.
    let latest = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    let text = humantime::format_rfc3339_seconds(time.min(latest)).to_string();
    text.chars().take(10).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_not_yet_valid_then_valid_then_expired() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let summary = Summary {
            subject: "CN=a".into(),
            names: vec!["b".into(), "c".into()],
            issuer: "CN=d".into(),
            not_before: at(86_400),
            not_after: at(3 * 86_400),
        };
        assert_eq!(summary.validity(at(0)), Validity::NotYet);
        assert_eq!(
            summary.validity(at(86_400)),
            Validity::Valid { days_left: 2 }
        );
        assert_eq!(summary.validity(at(3 * 86_400 + 1)), Validity::Expired);
        let line = "CN=a (b, c), signed by CN=d, 1970-01-02 to 1970-01-04";
        assert_eq!(summary.line(), line);
    }

    #[test]
    fn bytes_that_are_no_certificate_have_no_summary() {
        assert!(Summary::of(b"").is_none() && Summary::of(&[0x30; 100]).is_none());
    }
}
