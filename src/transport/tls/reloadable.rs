//! A configuration that can change while connections stand.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::transport::tls_config_error::TlsConfigError;

/// The files that a configuration is made of.
pub(super) trait ConfigFiles: fmt::Debug {
    /// The configuration as rustls has it.
    type Config;

    /// Reads the files. It blocks for as long as the disk takes.
    fn read(&self) -> Result<Arc<Self::Config>, TlsConfigError>;
}

/// The configuration of one end. Clones share it, so that all of them see a new one.
pub(super) struct Reloadable<F: ConfigFiles> {
    current: Arc<ArcSwap<F::Config>>,
    files: Option<Arc<F>>,
}

impl<F: ConfigFiles> Reloadable<F> {
    /// The configuration that `files` hold.
    pub(super) fn from_files(files: F) -> Result<Self, TlsConfigError> {
        Ok(Self {
            current: Arc::new(ArcSwap::new(files.read()?)),
            files: Some(Arc::new(files)),
        })
    }

    /// A configuration that was made elsewhere, which so cannot be read again.
    pub(super) fn from_config(config: Arc<F::Config>) -> Self {
        Self {
            current: Arc::new(ArcSwap::new(config)),
            files: None,
        }
    }

    /// Reads the same files again. After an error the old configuration stays in use.
    pub(super) fn reload(&self) -> Result<(), TlsConfigError> {
        let files = self.files.as_ref().ok_or(TlsConfigError::NotFromFiles)?;
        self.replace(files.read()?);
        Ok(())
    }

    /// Uses another configuration for new connections.
    pub(super) fn replace(&self, config: Arc<F::Config>) {
        self.current.store(config);
    }

    /// The configuration that the next connection gets.
    pub(super) fn current(&self) -> Arc<F::Config> {
        self.current.load_full()
    }
}

impl<F: ConfigFiles> Clone for Reloadable<F> {
    fn clone(&self) -> Self {
        Self {
            current: Arc::clone(&self.current),
            files: self.files.clone(),
        }
    }
}

/// Shows the files' names; what they hold includes a private key.
impl<F: ConfigFiles> fmt::Debug for Reloadable<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloadable")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}
