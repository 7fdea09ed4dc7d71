//! What can go wrong in the program itself, before or after it calls a library. Subjects with several failures have files of their own.

mod authority;
mod certificate;
mod enrol;
mod hierarchy;
mod host;
mod proof;

use std::io;
use std::path::PathBuf;

use token_store::{Kind, WallKind};

use crate::fail::not_imported::NotImported;
use crate::show::path;
use crate::show::words::{found, list, size, whose};

pub(crate) use authority::AuthorityError;
pub(crate) use certificate::CertificateError;
pub(crate) use enrol::EnrolmentError;
pub(crate) use hierarchy::HierarchyError;
pub(crate) use host::HostError;
pub(crate) use proof::ProofError;

/// A failure that is not the TPM's or the store's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    /// The command line cannot be acted on.
    #[error("{0}")]
    Usage(String),

    /// Only root can do this.
    #[error("only root can do this")]
    NotRoot,
    /// A secret is needed, and neither a terminal nor an askpass program is there.
    #[error("no way to ask for the {what}")]
    NobodyToAsk {
        /// The secret, such as `PIN for token "work"`.
        what: String,
    },
    /// The person pressed Ctrl-D, or the askpass program failed.
    #[error("no answer was given")]
    Declined,
    /// A new secret was not typed the same way twice.
    #[error("the two entries are not the same")]
    SecretsDiffer,
    /// A file with a secret can be read by others, or belongs to somebody else.
    #[error("{} can be read by other users", path.display())]
    ExposedFile {
        /// The file.
        path: PathBuf,
    },
    /// A file with a secret has more than one line.
    #[error("{} has more than one line", path.display())]
    SeveralLines {
        /// The file.
        path: PathBuf,
    },
    /// The end came before the secret.
    #[error("nothing to read from {from}")]
    NothingRead {
        /// The file or descriptor.
        from: String,
    },
    /// A pipe is open, and has sent nothing for a minute.
    #[error("nothing came from {from} for a minute")]
    NothingYet {
        /// The file or descriptor.
        from: String,
    },
    /// A terminal is named in the place of a file with a secret.
    #[error("{from} is a terminal")]
    IsATerminal {
        /// The file or descriptor.
        from: String,
    },
    /// A file with a secret begins with a byte order mark, which is not part of the secret.
    #[error("{from} begins with a byte order mark")]
    ByteOrderMark {
        /// The file or descriptor.
        from: String,
    },
    /// A file is longer than what is expected there, or a secret does not end.
    #[error("too much to read from {from}: at most {} are taken", size(*max))]
    TooMuchRead {
        /// The file or descriptor.
        from: String,
        /// The limit, in bytes.
        max: usize,
    },
    /// The file or descriptor of a secret cannot be read.
    #[error("cannot read {from}")]
    Unreadable {
        /// The file or descriptor.
        from: String,
        /// Why.
        source: io::Error,
    },
    /// The terminal failed.
    #[error("cannot use the terminal")]
    Terminal(#[source] io::Error),
    /// The askpass program could not be run.
    #[error("cannot run the askpass program {}", program.display())]
    Askpass {
        /// `SSH_ASKPASS`.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },

    /// Something irreversible was not confirmed.
    #[error("not confirmed, nothing was changed")]
    NotConfirmed,
    /// Something irreversible has to be confirmed, and there is no terminal.
    #[error("this has to be confirmed, and there is no terminal to ask on")]
    NeedsYes,

    /// The last try for a PIN is not spent without a yes, and there is no terminal.
    #[error("only 1 try is left, and a wrong PIN would lock the token")]
    LastTry,
    /// A private key file is not brought into the TPM.
    #[error("{}: {why}", path::name(path))]
    NotImported {
        /// The file.
        path: PathBuf,
        /// Why.
        why: NotImported,
    },
    /// A key was not copied to some servers. The reason for each was printed.
    #[error("{failed} of {hosts} servers failed")]
    NotCopied {
        /// How many failed.
        failed: usize,
        /// Of how many.
        hosts: usize,
    },
    /// The key with which git is to sign is in no token.
    #[error("the key {fingerprint} that git is to sign with is in no token here")]
    SigningKeyGone {
        /// Of the key that git names.
        fingerprint: String,
    },
    /// The configuration file has an unusable policy for PINs.
    #[error("unusable {key} in the configuration file: {why}")]
    BadPolicy {
        /// Its setting in the file.
        key: String,
        /// The reason, with the accepted form.
        why: &'static str,
    },
    /// A file that tpmssh did not write is in the place of one that it would write.
    #[error("{} was not written by tpmssh", path.display())]
    NotOurFile {
        /// The file.
        path: PathBuf,
    },
    /// A file could not be removed.
    #[error("cannot remove {}", path.display())]
    Unremovable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The agent ended before it listened.
    #[error("the agent did not start: {why}")]
    NotStarted {
        /// The last error that it printed.
        why: String,
        /// Its hint.
        hint: Option<String>,
    },
    /// There is no `systemctl`.
    #[error("systemd is not installed here, and nothing was written")]
    NoSystemd {
        /// What to do instead.
        hint: &'static str,
    },
    /// systemd does not run, or refused.
    #[error("the files are in place, but systemd was not told")]
    SystemdNotTold {
        /// The commands that are left to be run, as one types them.
        commands: String,
    },
    /// There is no token to use.
    #[error("there is no token yet")]
    NoToken,
    /// There are several, and none was named.
    #[error("there are several tokens: {}", list(labels))]
    WhichToken {
        /// Their labels.
        labels: Vec<String>,
    },
    /// The token has no PIN counter that could be made again.
    #[error("this token has no PIN counter: its PIN wall is {wall}")]
    NoCounter {
        /// Its PIN wall.
        wall: WallKind,
    },
    /// There is no PIN counter without a token at this NV index.
    #[error("no PIN counter without a token is at NV index {index:#010x}")]
    NoLostCounter {
        /// The NV index.
        index: u32,
    },
    /// The token has no keys.
    #[error("there is no key yet")]
    NoKey,
    /// No key has this label, id or fingerprint.
    #[error("no key \"{name}\"")]
    NoSuchKey {
        /// What was looked for.
        name: String,
    },
    /// Several keys have this label.
    #[error("several keys are called \"{name}\"")]
    AmbiguousKey {
        /// What was looked for.
        name: String,
    },
    /// A new key or token would have the label of another.
    #[error("there is a {what} called \"{label}\" already")]
    LabelTaken {
        /// `key` or `token`.
        what: &'static str,
        /// The label.
        label: String,
    },
    /// A label for a key that could not be shown or typed.
    #[error("unusable label: {0}")]
    BadLabel(&'static str),
    /// Only the public half of the key is here.
    #[error("the private half of key \"{label}\" is not here")]
    NoPrivateHalf {
        /// Its label.
        label: String,
    },
    /// A file has no public key or certificate of SSH, or several.
    #[error("unusable {from}: {why}")]
    NotAKeyFile {
        /// The file.
        from: String,
        /// What it has, and what to do.
        why: &'static str,
    },
    /// The token has several keys, and none was named.
    #[error("there are several keys: {}", list(labels))]
    WhichKey {
        /// Their labels.
        labels: Vec<String>,
        /// How to name one.
        hint: &'static str,
    },
    /// A command needs a key for logins, but all keys here are those of authorities, or do not sign.
    #[error("no key here is for logins: they are of certificate authorities, or do not sign")]
    NoLoginKey,
    /// A signature is valid, but by a key that is not allowed.
    #[error("the signature is good, but its key {fingerprint} is not one of {}", whose(identity.as_deref()))]
    SignerNotAllowed {
        /// Of the key that signed.
        fingerprint: String,
        /// Who should have signed; anybody that is allowed otherwise.
        identity: Option<String>,
    },
    /// There is no git.
    #[error("git is not installed")]
    NoGit,
    /// Not in a git repository.
    #[error("there is no git repository here")]
    NoRepository,
    /// A file could not be written.
    #[error("cannot write {}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The path of an output names something other than a file, such as a device.
    #[error("cannot write {}: it is {what}", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// Such as `a device`.
        what: &'static str,
    },
    /// A file is written, and the disk failed to confirm it.
    #[error("{} is written, but may be lost if the power fails now", path.display())]
    Unconfirmed {
        /// The file.
        path: PathBuf,
        /// The error of the disk.
        source: io::Error,
    },
    /// A new password is empty.
    #[error("the new password is empty")]
    EmptyPassword,

    /// `doctor` found problems, and has printed them.
    #[error("{}", found(*.problems, *.warnings))]
    Unwell {
        /// How many problems it found.
        problems: usize,
        /// How many warnings, if warnings count.
        warnings: usize,
        /// The sort of the gravest.
        kind: Kind,
    },
    /// `setup` found no TPM and may not start a simulator.
    #[error("no TPM found: no device matches /dev/tpmrm*, and no other TPM is configured")]
    NoTpmToSetUp,
    /// The output could not be written.
    #[error("cannot write to stdout")]
    Stdout(#[source] io::Error),
    /// The command has done its work, and its output could not be written.
    #[error("{done}, but cannot write to {to}")]
    DoneUnseen {
        /// What is done, as a sentence.
        done: String,
        /// `stdout` or `stderr`.
        to: &'static str,
        /// How to see it after all, or what to do without.
        hint: &'static str,
        /// Why.
        source: io::Error,
    },

    /// See [`ProofError`].
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// See [`EnrolmentError`].
    #[error(transparent)]
    Enrol(#[from] EnrolmentError),
    /// See [`HostError`].
    #[error(transparent)]
    Host(#[from] HostError),
    /// See [`HierarchyError`].
    #[error(transparent)]
    Hierarchy(#[from] HierarchyError),
    /// See [`CertificateError`].
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// See [`AuthorityError`].
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

/// The result of the program's own functions.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;
