//! The program `tpmssh-ca`, and nodes that serve until a test has ended.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The program, which is built beside `tpmssh`.
pub(super) fn program() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_tpmssh")).with_file_name("tpmssh-ca");
    assert!(
        program.is_file(),
        "no {program:?}: cargo build -p ca-server"
    );
    program
}

/// A running node. Dropping it kills it.
pub(super) struct Node {
    child: Child,
    /// The URL at which it listens.
    pub(super) url: String,
}

impl Node {
    /// Starts `command` (`tpmssh-ca … serve`), and waits until the node listens. Its later messages go to `later`, line by line.
    pub(super) fn start(mut command: Command, later: impl FnMut(String) + Send + 'static) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let said = lines.next().unwrap().unwrap();
        let url = said.strip_prefix("tpmssh-ca: listening at ");
        let url = url.map(str::to_owned);
        let node = Self {
            url: url.clone().unwrap_or_default(),
            child,
        };
        assert!(url.is_some(), "{said}");
        // The lines are read also if nobody wants them, so that the pipe does not fill up.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(later));
        node
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Both fail only if the node has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
