//! The program in a terminal of tmux, whose screen can be looked at.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::support::python;
use super::support::{Folder, eventually};

/// A server of tmux with one session, which ends with this.
pub(crate) struct Tmux {
    socket: PathBuf,
}

impl Tmux {
    /// Runs a line of a shell on a screen of this size.
    pub(crate) fn start(folder: &Folder, width: u16, height: u16, line: &str) -> Self {
        let tmux = Self {
            socket: folder.0.join("tmux"),
        };
        let size = [width.to_string(), height.to_string()];
        let size = ["-x", &size[0], "-y", &size[1]];
        tmux.run(&[&["new-session", "-d"], &size[..], &[line]].concat());
        tmux
    }

    /// Waits until a text is on the screen, and yields all of it.
    pub(crate) async fn shows(&self, text: &str) -> String {
        let what = format!("{text:?} on the screen");
        eventually(&what, || self.screen().contains(text)).await;
        self.screen()
    }

    /// Waits until a text is not on the screen any more.
    pub(crate) async fn hides(&self, text: &str) {
        let what = format!("the screen without {text:?}");
        eventually(&what, || !self.screen().contains(text)).await;
    }

    /// Presses a key, by its name in tmux.
    pub(crate) fn press(&self, key: &str) {
        self.run(&["send-keys", key]);
    }

    /// Makes the screen larger or smaller.
    pub(crate) fn resize(&self, width: u16, height: u16) {
        let size = [width.to_string(), height.to_string()];
        self.run(&["resize-window", "-x", &size[0], "-y", &size[1]]);
    }

    /// The screen without colours.
    pub(crate) fn screen(&self) -> String {
        self.run(&["capture-pane", "-p"])
    }

    /// The screen with the sequences that colour it.
    pub(crate) fn coloured(&self) -> String {
        self.run(&["capture-pane", "-p", "-e"])
    }

    /// Draws the screen as a picture.
    pub(crate) fn picture(&self, file: &Path) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/screen_to_svg.py");
        let drawn = Command::new(python::interpreter())
            .args([script, &self.coloured()])
            .output()
            .expect("it starts");
        assert!(drawn.status.success(), "{drawn:?}");
        std::fs::write(file, drawn.stdout).expect("it can be written");
    }

    fn run(&self, options: &[&str]) -> String {
        let output = Command::new("tmux")
            .args(["-u", "-f", "/dev/null", "-S"])
            .arg(&self.socket)
            .args(options)
            .env_remove("TMUX")
            .env_remove("NO_COLOR")
            .env("LC_ALL", "C.UTF-8")
            .output()
            .expect("tmux is installed: tests/run --setup");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tmux {options:?}: {complaint}");
        String::from_utf8(output.stdout).expect("it is text")
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        // The server may have ended with its session.
        let _ = Command::new("tmux")
            .arg("-S")
            .arg(&self.socket)
            .arg("kill-server")
            .output();
    }
}
