//! The services of the shop as child processes, which never outlive it.

use std::io::{self, BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};

pub(crate) struct Service {
    child: Child,
    /// Where it is, in its own words.
    pub(crate) endpoint: String,
}

impl Service {
    /// Starts this program in the role that `options` say, and waits until it says where it is.
    pub(crate) fn start(options: &[&str]) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(options)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut endpoint = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut endpoint)?;
        }
        let endpoint = endpoint.trim_end().to_owned();
        if endpoint.is_empty() {
            let _ = child.kill();
            let _ = child.wait();
            return Err(io::Error::other(format!("{options:?} did not start")));
        }
        Ok(Self { child, endpoint })
    }

    /// Has it stop as a service manager does, and waits until it has ended.
    pub(crate) fn stop(&mut self) -> io::Result<ExitStatus> {
        let id = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status()?;
        self.child.wait()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // One that has ended already cannot be killed; it is gone all the same.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
