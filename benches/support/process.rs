//! A bench that starts itself again as the processes that it measures.

use std::fmt::Display;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

/// A process at one end; it is ended with this.
pub(crate) struct End {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl End {
    pub(crate) fn start(mut command: Command) -> Self {
        let child = command.stdout(Stdio::piped()).spawn();
        let mut child = child.expect("it starts again");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, output }
    }

    /// What it tells next.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it prints");
        assert!(!line.is_empty(), "one end of a run has failed");
        line.trim().to_owned()
    }
}

impl Drop for End {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tells the first process, which reads this line by line.
pub(crate) fn tell(what: impl Display) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{what}")
        .and_then(|()| out.flush())
        .expect("the first process reads");
}
