//! Reasons why settings cannot be used.

use std::fmt;

use serde::de::{Expected, Unexpected};

use super::suggestions::{forms, nearest, nested};
use crate::address::Endpoint;
use crate::error::{BindError, ConnectError};

/// Settings cannot be read. Each says the key, and where it was set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The file cannot be read, or it is not TOML.
    #[error("{0}")]
    Unreadable(String),
    /// The section that was asked for is not in the file.
    #[error("there is no section `{0}`")]
    NoSection(String),
    /// There is no such key.
    #[error("there is no setting `{key}`{}{}", suggestion(.nearest), place(.origin))]
    #[non_exhaustive]
    UnknownKey {
        /// The key, with those that it is within.
        key: String,
        /// The name, or the variable, that was probably meant.
        nearest: Option<String>,
        /// The file or the environment.
        origin: Option<String>,
    },
    /// A key has a value that it cannot have.
    #[error("`{key}` cannot be used: {problem}{}", place(.origin))]
    #[non_exhaustive]
    Unusable {
        /// The key, with those that it is within.
        key: String,
        /// A sentence about the value.
        problem: String,
        /// The file or the environment.
        origin: Option<String>,
    },
}

fn suggestion(nearest: &Option<String>) -> String {
    let suggest = |name| format!("; did you mean `{name}`?");
    nearest.as_ref().map(suggest).unwrap_or_default()
}

/// Where a value was set, in brackets behind an error.
pub(super) fn place(origin: &Option<String>) -> String {
    let within = |origin| format!(" (in {origin})");
    origin.as_ref().map(within).unwrap_or_default()
}

/// A socket does not listen or connect where its settings say.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It cannot listen at an endpoint of `bind`.
    #[error("cannot bind {endpoint}: {source}")]
    #[non_exhaustive]
    Bind {
        /// The endpoint.
        endpoint: Endpoint,
        /// What is wrong.
        source: BindError,
    },
    /// It can never connect to an endpoint of `connect`.
    #[error("cannot connect to {endpoint}: {source}")]
    #[non_exhaustive]
    Connect {
        /// The endpoint.
        endpoint: Endpoint,
        /// What is wrong.
        source: ConnectError,
    },
}

/// An error on its way out of nested values: each adds its key.
#[derive(Debug)]
pub(super) struct ValueError {
    kind: Kind,
    /// From the innermost key to the outermost.
    path: Vec<String>,
    origin: Option<String>,
}

#[derive(Debug)]
enum Kind {
    Unknown {
        nearest: Option<String>,
    },
    /// A choice that is none of its words, nor one of them with its value.
    NoneOf {
        /// The text that stands in its place, if it is one.
        found: Option<String>,
        words: &'static [&'static str],
    },
    Problem(String),
}

impl ValueError {
    /// A choice is none of these words. What was found may be the value of one of them.
    pub(super) fn none_of(found: Option<String>, words: &'static [&'static str]) -> Self {
        Self {
            kind: Kind::NoneOf { found, words },
            path: Vec::new(),
            origin: None,
        }
    }

    /// This error came from the value of `key`, which was set by `origin`.
    pub(super) fn within(mut self, key: &str, origin: Option<&str>) -> Self {
        self.path.push(key.to_owned());
        if self.origin.is_none() {
            self.origin = origin.map(str::to_owned);
        }
        self
    }

    /// The origin of a key that is unknown itself.
    pub(super) fn told_of(mut self, origin: Option<&str>) -> Self {
        if self.origin.is_none() {
            self.origin = origin.map(str::to_owned);
        }
        self
    }
}

/// What config-rs calls variables in an origin.
pub(super) const ENVIRONMENT: &str = "the environment";

impl ValueError {
    /// Names variables in place of keys if the value comes from one. They have this prefix, unless there are several.
    pub(super) fn with_variable(mut self, prefix: Option<&str>) -> Self {
        if self.origin.as_deref() != Some(ENVIRONMENT) {
            return self;
        }
        // A list is one variable, so what comes behind a number has none of its own.
        let keys = self.path.iter().rev();
        let keys = keys.take_while(|key| key.parse::<usize>().is_err());
        let keys: Vec<_> = keys.map(String::as_str).collect();
        let own = variable(prefix, &keys.join("."));
        self.kind = match self.kind {
            Kind::Unknown {
                nearest: Some(nearest),
            } if nearest.contains('.') => {
                let mut meant = keys.clone();
                meant.pop();
                meant.push(&nearest);
                let nearest = Some(variable(prefix, &meant.join(".")));
                Kind::Unknown { nearest }
            }
            Kind::NoneOf { found, words } => {
                Kind::Problem(none_of(found.as_deref(), words, Some(&own)))
            }
            kind @ (Kind::Unknown { .. } | Kind::Problem(_)) => kind,
        };
        if prefix.is_some() {
            self.origin = Some(format!("{own} of {ENVIRONMENT}"));
        }
        self
    }
}

/// The variable of a key, behind its prefix if that is known.
fn variable(prefix: Option<&str>, key: &str) -> String {
    let key = key.replace('.', "__");
    let variable = match prefix {
        Some(prefix) => format!("{prefix}_{key}"),
        None => key,
    };
    variable.to_uppercase()
}

fn none_of(found: Option<&str>, words: &[&str], variable: Option<&str>) -> String {
    let forms = forms(found.unwrap_or_default(), words, variable);
    match found {
        Some(text) => format!("`{text}` is none of its values; write {forms}"),
        None => format!("write {forms}"),
    }
}

impl From<ValueError> for SettingsError {
    fn from(error: ValueError) -> Self {
        let ValueError {
            kind,
            mut path,
            origin,
        } = error;
        path.reverse();
        let key = path.join(".");
        match kind {
            Kind::Unknown { nearest } => Self::UnknownKey {
                key,
                nearest,
                origin,
            },
            Kind::NoneOf { found, words } => Self::Unusable {
                key,
                problem: none_of(found.as_deref(), words, None),
                origin,
            },
            Kind::Problem(problem) => Self::Unusable {
                key,
                problem,
                origin,
            },
        }
    }
}

impl serde::de::Error for ValueError {
    fn custom<T: fmt::Display>(problem: T) -> Self {
        Self {
            kind: Kind::Problem(problem.to_string()),
            path: Vec::new(),
            origin: None,
        }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format!(
            "invalid type: {}, expected {expected}",
            kind_of(found)
        ))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format!(
            "invalid value: {}, expected {expected}",
            kind_of(found)
        ))
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        if let Some(feature) = missing_feature(field, known) {
            return Self {
                kind: Kind::Problem(format!("it needs the feature {feature:?} of actix-aiomsg")),
                path: vec![field.to_owned()],
                origin: None,
            };
        }
        let nearest = || nearest(field, known).map(str::to_owned);
        let nearest = nested(field, known).or_else(nearest);
        Self {
            kind: Kind::Unknown { nearest },
            path: vec![field.to_owned()],
            origin: None,
        }
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        let all = known.join("`, `");
        Self::custom(match nearest(variant, known) {
            Some(nearest) => {
                format!("`{variant}` is none of its values; did you mean `{nearest}`?")
            }
            None => format!("`{variant}` is none of its values, which are `{all}`"),
        })
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for ValueError {}

/// What was found in place of what was expected. It may be a secret, also where it is a number, and is not shown.
fn kind_of(found: Unexpected<'_>) -> String {
    let kind = match found {
        Unexpected::Str(_) | Unexpected::Bytes(_) | Unexpected::Char(_) => "a text",
        Unexpected::Signed(..0) => "an integer below zero",
        Unexpected::Signed(_) | Unexpected::Unsigned(_) => "an integer",
        Unexpected::Float(_) => "a number with a fraction",
        Unexpected::Bool(_) => "true or false",
        found => return found.to_string(),
    };
    kind.to_owned()
}

/// The feature of a key that this build lacks, told by a key that stands beside it.
fn missing_feature(field: &str, known: &[&str]) -> Option<&'static str> {
    let of_features = [
        ("tls", "endpoint", "tls"),
        ("outbox", "bind", "outbox"),
        ("inspection", "bind", "inspection"),
        ("traces", "bind", "otel"),
    ];
    let found = of_features
        .into_iter()
        .find(|(key, beside, _)| *key == field && known.contains(beside));
    found.map(|(.., feature)| feature)
}
