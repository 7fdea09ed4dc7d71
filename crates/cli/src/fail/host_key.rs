//! Why a server does not prove that it has a host key.

use std::path::PathBuf;

use thiserror::Error;

/// The reasons, one for each action that an administrator can take.
#[derive(Debug, Error)]
pub(crate) enum NotProven {
    /// No server is there.
    #[error("nothing listens there: {0}")]
    NoServer(std::io::Error),
    /// The server refuses this address for some time (`PerSourcePenalties` of sshd_config(5)).
    #[error("the server refuses connections from this address for a while")]
    ShutOut,
    /// The agent that signs for sshd does not answer.
    #[error("the agent of the host keys does not answer at {}", socket.display())]
    NoAgent {
        /// Where sshd looks for it.
        socket: PathBuf,
    },
    /// The agent that signs for sshd has other keys.
    #[error("the agent at {} does not have this key", socket.display())]
    OtherAgent {
        /// Where sshd looks for it.
        socket: PathBuf,
    },
    /// The server has no key of this type and curve.
    #[error("it offers no key of this type and curve, only {offer}")]
    NotOffered {
        /// The algorithms that it offers.
        offer: String,
    },
    /// The server shows another key of this type and curve.
    #[error("it shows another key of this type and curve, {fingerprint}{}", of(file.as_ref()))]
    OtherKey {
        /// Of the key that it shows.
        fingerprint: String,
        /// The file of that key, if it is found.
        file: Option<PathBuf>,
    },
    /// The server shows the key and signs with another one.
    #[error("it shows this key and signs with another one of the same type and curve{}", of(file.as_ref()))]
    SignedByOther {
        /// The file of the key that it signs with, if it is found.
        file: Option<PathBuf>,
    },
    /// The client of this machine does not know an option that the check gives it.
    #[error("the ssh of this machine cannot check it: {0}")]
    OldClient(String),
    /// Anything else.
    #[error("{0}")]
    Said(String),
}

fn of(file: Option<&PathBuf>) -> String {
    file.map_or_else(String::new, |file| format!(", that of {}", file.display()))
}

impl NotProven {
    /// The hint.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::NoServer(_) => "start it: sudo systemctl start ssh; or name another --port".into(),
            Self::ShutOut => {
                "wait a minute and check again (PerSourcePenalties of sshd_config)".into()
            }
            Self::NoAgent { .. } => "start it: sudo systemctl restart tpmssh-host.socket".into(),
            Self::OtherAgent { .. } => {
                "give the --store that the service uses: systemctl cat tpmssh-host.service".into()
            }
            Self::NotOffered { .. } => {
                "sudo tpmssh host setup puts it there; after that: sudo systemctl reload ssh".into()
            }
            Self::OtherKey { .. } | Self::SignedByOther { .. } => {
                "sudo tpmssh host setup leaves the other key out; after that: sudo systemctl reload ssh"
                    .into()
            }
            Self::OldClient(_) => "the check needs OpenSSH 8.5 or newer: ssh -V".into(),
            Self::Said(_) => "the server's log says more: sudo journalctl -u ssh".into(),
        }
    }
}
