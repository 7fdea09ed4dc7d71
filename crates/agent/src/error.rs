//! What can keep an agent from running, or a program from reaching one.

use std::io;
use std::path::PathBuf;

use ssh_format::text;
use token_store::Kind;

/// A failure, named by what the caller can do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No place for the socket is known.
    #[error("no place for the socket: XDG_RUNTIME_DIR is not set")]
    NoRuntimeDir,
    /// Another agent answers at the socket.
    #[error("an agent is already running at {}", path.display())]
    Live {
        /// The socket.
        path: PathBuf,
    },
    /// An agent runs, but somebody has removed its socket.
    #[error("the agent in process {pid} runs, but its socket {} was removed", path.display())]
    SocketGone {
        /// The socket.
        path: PathBuf,
        /// The agent's process.
        pid: u32,
    },
    /// The file in the socket's place, or its directory, is not safe to use.
    #[error("unsafe path {}: {why}", path.display())]
    UnsafePath {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The socket cannot be made.
    #[error("cannot make the socket {}", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The agent's own socket is among those of the agents that it is to ask.
    #[error("{} is this agent's own socket, which it cannot ask (--proxy)", path.display())]
    OwnProxy {
        /// The socket, as it was named.
        path: PathBuf,
    },
    /// systemd, or another program that started this one, passed no usable socket.
    #[error("no socket was passed to this program")]
    NotActivated,
    /// The audit log cannot be opened.
    #[error("cannot open the audit log {}", path.display())]
    Audit {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Threads, signals or timers cannot be had.
    #[error("cannot start")]
    Start(#[source] io::Error),

    /// The limit of open files leaves no room for clients.
    #[error("the limit of open files is {limit}, and an agent needs {needed}")]
    TooFewFiles {
        /// The limit.
        limit: usize,
        /// What is needed.
        needed: usize,
    },

    /// No agent answers at the socket.
    #[error("no agent is running at {}", path.display())]
    NotRunning {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An agent listens at the socket and does not answer: it is stopped, or hangs.
    #[error("the agent at {} does not answer", path.display())]
    Silent {
        /// The socket.
        path: PathBuf,
        /// The process that listens: systemd's if systemd made the socket.
        pid: i32,
    },
    /// The agent at the socket belongs to somebody else.
    #[error("the agent at {} belongs to another user", path.display())]
    Foreign {
        /// The socket.
        path: PathBuf,
    },
    /// The agent at the socket is another program, or did not understand the request.
    #[error("the agent at {} is not tpmssh's", path.display())]
    NotOurs {
        /// The socket.
        path: PathBuf,
    },
    /// The agent did not do it, and said why.
    #[error("{message}")]
    Refused {
        /// The agent's message.
        message: String,
        /// The exit code for it.
        code: u8,
    },
}

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// What sort of failure this is, which gives the exit code.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Live { .. } | Self::SocketGone { .. } | Self::Silent { .. } => Kind::Busy,
            Self::UnsafePath { .. } | Self::Foreign { .. } => Kind::UnsafePath,
            Self::Audit { .. } => Kind::Disk,
            Self::OwnProxy { .. } => Kind::Usage,
            Self::Refused { code, .. } => kind_of(*code),
            Self::NoRuntimeDir
            | Self::Socket { .. }
            | Self::NotActivated
            | Self::Start(_)
            | Self::TooFewFiles { .. }
            | Self::NotRunning { .. }
            | Self::NotOurs { .. } => Kind::Failed,
        }
    }
}

/// The kind with this exit code.
fn kind_of(code: u8) -> Kind {
    let found = Kind::ALL.into_iter().find(|kind| kind.exit_code() == code);
    found.unwrap_or(Kind::Failed)
}

/// An error and its causes in one line, of 500 characters at most.
pub(crate) fn chain(err: &dyn std::error::Error) -> String {
    text::error_line(err).chars().take(500).collect()
}
