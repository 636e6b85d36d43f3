//! Where settings are read from.

use std::path::{Path, PathBuf};

use config::{Config, ConfigError, Environment, File, FileFormat, Map, Source, Value, ValueKind};
use serde::Deserialize;

use super::error::{SettingsError, ValueError, place};
use super::keys::Settings;
use super::value::Tree;

/// The variables that [`Settings::load`] reads begin with it.
const PREFIX: &str = "AIOMSG_SOCKET";

impl Settings {
    /// Reads a TOML file, with the variables of the environment that begin with `AIOMSG_SOCKET_` over it:
    /// `AIOMSG_SOCKET_HEARTBEAT_INTERVAL=2s`. A key within another one is behind two underscores,
    /// `AIOMSG_SOCKET_LINK_CAPACITY__BYTES=1MiB`, and a list is separated by commas. An empty variable is none.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, a key is unknown, or a value cannot be used; certificate files are read as well.
    pub fn load(file: impl AsRef<Path>) -> Result<Self, SettingsError> {
        SettingsSources::new().file(file).environment(PREFIX).load()
    }
}

/// The places that settings are read from; what a later one says goes before what an earlier one does.
///
/// ```
/// use actix_aiomsg::settings::SettingsSources;
///
/// // A program with two sockets, whose file has a section for each.
/// let text = r#"
///     [sockets.orders]
///     bind = ["tcp://127.0.0.1:0"]
///     [sockets.stock]
///     connect = ["tcp://stock.internal:25000"]
/// "#;
/// let orders = SettingsSources::new().text(text).section("sockets.orders").environment("ORDERS").load()?;
/// # Ok::<(), actix_aiomsg::settings::SettingsError>(())
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "nothing is read before `load`"]
pub struct SettingsSources {
    files: Vec<FileSource>,
    section: Option<String>,
    /// Each with the prefix of its variables.
    environments: Vec<(String, Environment)>,
}

#[derive(Debug, Clone)]
enum FileSource {
    Path { path: PathBuf, required: bool },
    Text(String),
}

impl SettingsSources {
    /// No places yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a TOML file, which must be there.
    pub fn file(mut self, path: impl AsRef<Path>) -> Self {
        self.files.push(FileSource::Path {
            path: path.as_ref().to_owned(),
            required: true,
        });
        self
    }

    /// Reads a TOML file if there is one.
    pub fn optional_file(mut self, path: impl AsRef<Path>) -> Self {
        self.files.push(FileSource::Path {
            path: path.as_ref().to_owned(),
            required: false,
        });
        self
    }

    /// Reads a text of TOML.
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.files.push(FileSource::Text(text.into()));
        self
    }

    /// Takes, of the files, this section alone, for instance `sockets.orders`: the rest is somebody else's.
    pub fn section(mut self, section: impl Into<String>) -> Self {
        self.section = Some(section.into());
        self
    }

    /// Reads the variables of the environment that begin with `prefix` and an underscore, as
    /// [`Settings::load`] does.
    pub fn environment(mut self, prefix: &str) -> Self {
        let environment = Environment::with_prefix(prefix)
            .prefix_separator("_")
            .separator("__")
            .ignore_empty(true);
        self.environments.push((prefix.to_owned(), environment));
        self
    }

    /// Reads these variables in place of the environment's.
    #[cfg(test)]
    pub(super) fn variables(mut self, prefix: &str, variables: &[(&str, &str)]) -> Self {
        self = self.environment(prefix);
        let pairs = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let (_, environment) = self.environments.last_mut().expect("it was just added");
        *environment = environment.clone().source(Some(pairs.collect()));
        self
    }

    /// Reads all of them.
    ///
    /// # Errors
    ///
    /// As those of [`Settings::load`], and [`NoSection`](SettingsError::NoSection).
    pub fn load(self) -> Result<Settings, SettingsError> {
        let unreadable = |error: ConfigError| SettingsError::Unreadable(without_values(&error));
        let mut files = Config::builder();
        for file in self.files {
            files = match file {
                FileSource::Path { path, required } => {
                    check_readable(&path)?;
                    files.add_source(File::from(path).format(FileFormat::Toml).required(required))
                }
                FileSource::Text(text) => files.add_source(File::from_str(&text, FileFormat::Toml)),
            };
        }
        let files = files.build().map_err(unreadable)?;
        let section = match self.section {
            None => files.cache.into_table(),
            Some(name) => match files.get_table(&name) {
                Err(ConfigError::NotFound(_)) => return Err(SettingsError::NoSection(name)),
                section => section,
            },
        };
        let section = section.map_err(unreadable)?;
        let mut all = Config::builder().add_source(Section(section));
        for (_, environment) in &self.environments {
            all = all.add_source(environment.clone());
        }
        let table = all.build().and_then(|all| all.cache.into_table());
        let table = table.map_err(unreadable)?;
        let tree = Tree(Value::new(None, ValueKind::Table(table)));
        let settings = Settings::deserialize(tree);
        let prefix = match self.environments.as_slice() {
            [(prefix, _)] => Some(prefix.as_str()),
            _ => None,
        };
        settings.map_err(|error: ValueError| error.with_variable(prefix).into())
    }
}

/// An error of config-rs without the texts of values, which may be secrets.
fn without_values(error: &ConfigError) -> String {
    match error {
        ConfigError::FileParse { uri, cause } => {
            format!("{}{}", without_excerpt(&cause.to_string()), place(uri))
        }
        ConfigError::Type {
            origin,
            expected,
            key,
            ..
        } => {
            let key = key.as_deref().unwrap_or("a value");
            format!("`{key}` is not {expected}{}", place(origin))
        }
        ConfigError::At { error, origin, .. } => {
            format!("{}{}", without_values(error), place(origin))
        }
        other => other.to_string(),
    }
}

/// An error of the TOML parser, which has line and column, without the line of the file that stands in it.
fn without_excerpt(text: &str) -> String {
    let is_excerpt = |line: &&str| {
        let behind_number =
            line.trim_start_matches(|letter: char| letter == ' ' || letter.is_ascii_digit());
        behind_number.starts_with('|')
    };
    let kept: Vec<_> = text.lines().filter(|line| !is_excerpt(line)).collect();
    kept.join(": ")
}

/// True if config-rs reads `app.toml` by the name `app`, whatever folder has that name.
fn is_short_for_file(path: &Path) -> bool {
    let mut named = path.as_os_str().to_owned();
    named.push(".toml");
    Path::new(&named).is_file()
}

/// A file that is there and cannot be read is an error that names it, also where it need not be there. What is no
/// plain file, a pipe for instance, may be read only once.
fn check_readable(path: &Path) -> Result<(), SettingsError> {
    let check = || match std::fs::metadata(path)? {
        found if found.is_file() => std::fs::File::open(path).map(drop),
        found if found.is_dir() && !is_short_for_file(path) => {
            Err(std::io::ErrorKind::IsADirectory.into())
        }
        _ => Ok(()),
    };
    use std::io::ErrorKind::{NotADirectory, NotFound};
    match check() {
        Err(error) if !matches!(error.kind(), NotFound | NotADirectory) => {
            let text = format!("cannot read {}: {error}", path.display());
            Err(SettingsError::Unreadable(text))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A section of a file, as a source of its own.
#[derive(Debug, Clone)]
struct Section(Map<String, Value>);

impl Source for Section {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}
