//! What can go wrong in the program itself, before or after it calls a library.

use std::io;
use std::path::PathBuf;

use token_store::{Kind, WallKind};

use crate::fail::host_key::NotProven;
use crate::fail::not_imported::NotImported;
use crate::show::path;
use crate::show::words::{
    closed_for, closed_for_at_most, found, is_or_are, list, passwords_are, size, whose,
};

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

    /// sshd's configuration sets what an authority's file would set as well, and sshd takes the first.
    #[error("{}, line {line}: {keyword} is set there, and sshd takes one", config.display())]
    SettingTaken {
        /// Such as `RevokedKeys`.
        keyword: &'static str,
        /// The file.
        config: PathBuf,
        /// The number of the line in it.
        line: usize,
    },
    /// A token has a PIN, no agent has it open, and nobody is there to be asked.
    #[error("token \"{token}\" is locked, and nobody is asked for its PIN")]
    TokenLocked {
        /// Its label.
        token: String,
    },
    /// No key was enrolled.
    #[error("no key is enrolled with an authority")]
    NotEnrolled,

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
    /// `ca revoke` names a certificate that this authority did not sign.
    #[error("this authority signed no certificate with this {what}")]
    NothingToRevoke {
        /// `serial number` or `key id`.
        what: &'static str,
    },
    /// `ca unrevoke` names a certificate or key that is not revoked.
    #[error("this authority has not revoked that")]
    NotRevoked,
    /// `ca renew` names a certificate that another authority signed.
    #[error("this authority did not sign this certificate")]
    NotIssued,
    /// A certificate that is to be renewed is revoked.
    #[error("the certificate with serial number {serial} is revoked")]
    RenewsRevoked {
        /// Its serial number.
        serial: u64,
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
    /// Without the TPM's host keys, sshd would have no host key.
    #[error("sshd would have no host key left")]
    NoOtherHostKey,
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
    /// No X.509 certificate was read.
    #[error("no X.509 certificate in {from}")]
    NotX509 {
        /// The file.
        from: String,
    },
    /// A certificate is for another key.
    #[error("no key here is the one that the certificate in {from} is for")]
    NoKeyFits {
        /// The file.
        from: String,
    },
    /// A file has no public key or certificate of SSH, or several.
    #[error("unusable {from}: {why}")]
    NotAKeyFile {
        /// The file.
        from: String,
        /// What it has, and what to do.
        why: &'static str,
    },
    /// A certificate has no principals.
    #[error("the certificate has no principals, and servers refuse such a certificate")]
    NoPrincipals,
    /// A certificate is not valid any more.
    #[error("the certificate expired at {since}")]
    CertificateExpired {
        /// When.
        since: String,
    },
    /// A certificate is not valid yet.
    #[error("the certificate is not valid before {until}")]
    CertificateNotYetValid {
        /// When it will be.
        until: String,
    },
    /// A certificate is for a key that is elsewhere.
    #[error("the certificate is for another key: {fingerprint} is not in the TPM")]
    NoKeyForCertificate {
        /// Of the key that it is for.
        fingerprint: String,
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
    /// A server did not show that it has a host key of the TPM.
    #[error("the server at {at} does not prove host key \"{label}\": {why}")]
    HostKeyNotProven {
        /// Address and port.
        at: String,
        /// The label of the key.
        label: String,
        /// What was seen.
        why: NotProven,
    },
    /// No host key of the TPM is set up for sshd.
    #[error("no host key of the TPM is set up for sshd")]
    NoHostKeySetUp,
    /// A file of sshd's configuration names a host key that would have to be left out.
    #[error(
        "line {line} of {} names the host key {}{}",
        config.display(), key.display(),
        if *same { ", which has the same type and curve" } else { ", which --only cannot leave out" }
    )]
    HostKeyNamed {
        /// The host key.
        key: PathBuf,
        /// The file that names it.
        config: PathBuf,
        /// The line in that file.
        line: usize,
        /// Whether it is of the same type and curve as the key of the TPM.
        same: bool,
    },
    /// There is no git.
    #[error("git is not installed")]
    NoGit,
    /// Not in a git repository.
    #[error("there is no git repository here")]
    NoRepository,
    /// No key was made an authority.
    #[error("there is no certificate authority yet")]
    NoAuthority,
    /// There are several authorities, and none was named.
    #[error("there are several certificate authorities: {}", list(labels))]
    WhichAuthority {
        /// Their labels.
        labels: Vec<String>,
    },
    /// The key that was named signs no certificates.
    #[error("key \"{label}\" is no certificate authority")]
    NotAnAuthority {
        /// Its label.
        label: String,
    },
    /// A key was not made in the TPM, or can leave it.
    #[error(
        "key \"{label}\" was made outside of this TPM: nothing can prove that there is no copy"
    )]
    Unprovable {
        /// Its label.
        label: String,
    },
    /// The challenge and the request that were given do not belong together.
    #[error("the challenge is for another request, or for another TPM")]
    OtherRequest,
    /// The challenge has expired.
    #[error("the challenge expired at {since}")]
    ChallengeExpired {
        /// When.
        since: String,
    },
    /// The request is for a key that is not here, or not the one that was named.
    #[error("the request is for another key")]
    RequestOfOtherKey,
    /// The request names an endorsement key of no template that is known here.
    #[error("the endorsement key of the request is of no kind that a TPM makes for tpmssh")]
    RequestOfOtherEk,
    /// The proof is for another key than the one to be certified.
    #[error("proof refused: it is for another key than the one to be certified")]
    ProofOfOtherKey,
    /// The proof asks for other principals than the certificate would have.
    #[error("proof refused: it does not ask for all of these principals (V6)")]
    ProofOfOtherNames,
    /// A certificate was signed for this proof before.
    #[error("proof refused: a certificate was signed for it before (V7)")]
    ProofUsed,
    /// The authority certifies only with a proof, and none was given.
    #[error("authority \"{label}\" certifies only keys with a proof that a TPM holds them")]
    ProofRequired {
        /// Its label.
        label: String,
    },
    /// The file with the verifier's key is damaged.
    #[error("{} is not the key of a verifier", path.display())]
    BadVerifierKey {
        /// The file.
        path: PathBuf,
    },
    /// A file with something else than a join token.
    #[error("{} is not a join token", path.display())]
    NoJoinToken {
        /// The file.
        path: PathBuf,
    },
    /// Another key does not say who asks.
    #[error("the key {key} does not say who asks: {why}")]
    NoIdentity {
        /// Its file or name.
        key: String,
        /// What is wrong.
        why: String,
    },
    /// The command for an identity prints no token. Its output is not shown.
    #[error("the command for the identity gives no token: {why}")]
    NoIdentityToken {
        /// What is wrong.
        why: String,
    },
    /// No certificate of a maker was found.
    #[error("no certificate of a TPM maker in {}", path.display())]
    NoRoots {
        /// The file or directory.
        path: PathBuf,
    },
    /// No certificate that is kept has this fingerprint.
    #[error("no certificate is kept whose SHA-256 begins with {fingerprint}")]
    NoSuchRoot {
        /// As it was given.
        fingerprint: String,
    },
    /// The TPM has no endorsement key at a persistent handle.
    #[error("this TPM has no persistent endorsement key")]
    NoEk,
    /// `ca revoke` names something that is revoked already.
    #[error("that has been revoked before")]
    RevokedBefore,
    /// A key or certificate that was asked about is revoked.
    #[error("{revoked} of {asked} {} revoked", is_or_are(*.revoked))]
    Revoked {
        /// How many are.
        revoked: usize,
        /// How many were asked about.
        asked: usize,
    },
    /// A file could not be written.
    #[error("cannot write {}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file that a revocation list would replace is not one, or cannot be parsed.
    #[error("{} is not replaced", path.display())]
    NotAKrl {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ssh_format::Error,
    },
    /// A new revocation list would lack something that the present one revokes.
    #[error("the list in {} revokes what this store does not", path.display())]
    KrlForgets {
        /// The file.
        path: PathBuf,
    },
    /// A new revocation list would have a lower number than the present one.
    #[error("the list in {} has number {old}, and the new one would have {new}", path.display())]
    KrlGoesBack {
        /// The file.
        path: PathBuf,
        /// The number in the file.
        old: u64,
        /// The number of the new list.
        new: u64,
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
    /// No certificate is kept.
    #[error("there is no certificate yet")]
    NoCertificate,
    /// No certificate has this number or key id.
    #[error("no certificate \"{name}\"")]
    NoSuchCertificate {
        /// What was looked for.
        name: String,
    },
    /// Several certificates have this key id.
    #[error("several certificates are called \"{name}\"")]
    AmbiguousCertificate {
        /// What was looked for.
        name: String,
    },
    /// The hierarchy has a password that this would have to replace.
    #[error(
        "ownership of this TPM has been taken already: {} set",
        passwords_are(passwords)
    )]
    AlreadyOwned {
        /// The hierarchies whose passwords are set.
        passwords: Vec<&'static str>,
    },
    /// A password was given for a hierarchy that has none.
    #[error("the TPM has no {hierarchy} password, and one was given")]
    NoPassword {
        /// The hierarchy.
        hierarchy: &'static str,
    },
    /// A new password is empty.
    #[error("the new password is empty")]
    EmptyPassword,
    /// The password of a hierarchy was wrong, which cost nothing.
    #[error("wrong {hierarchy} password")]
    WrongPassword {
        /// The hierarchy.
        hierarchy: &'static str,
    },
    /// The lockout password was wrong.
    #[error("wrong lockout password; even the right one is refused now{}", closed_for(*.recovery))]
    WrongLockoutPassword {
        /// Seconds; 0 means until a restart.
        recovery: u32,
    },
    /// The lockout password was wrong before.
    #[error("the TPM takes no lockout password after a wrong one{}", closed_for_at_most(*.recovery))]
    LockoutClosed {
        /// Seconds at most; 0 means until a restart.
        recovery: u32,
    },

    /// `doctor` found problems, and has printed them.
    #[error("{}", found(*.problems, *.warnings))]
    Unwell {
        /// How many problems it found.
        problems: usize,
        /// How many warnings, where these count.
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
}

/// The result of the program's own functions.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;
