//! Files and folders of a test, which go with it.

use std::path::{Path, PathBuf};

use actix_aiomsg::Identity;

/// A new folder for its owner alone, which is removed when this is dropped.
pub struct Folder(pub PathBuf);

impl Folder {
    /// `name` says whose it is.
    pub fn new(name: &str) -> Self {
        let folder = Self(unused(name));
        make(&folder.0).unwrap();
        folder
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The same as text, for a command line.
    pub fn place(&self, name: &str) -> String {
        self.file(name).display().to_string()
    }
}

#[cfg(unix)]
fn make(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn make(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir(folder)
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left in a temporary folder disturbs nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The path of a file that nobody has made yet, and that is removed when this is dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    /// `name` says whose it is.
    pub fn new(name: &str) -> Self {
        Self(unused(name))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It may never have been made.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn unused(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("aiomsg-{name}-{}", Identity::random()))
}
