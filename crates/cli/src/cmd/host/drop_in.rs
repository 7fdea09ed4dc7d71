//! The file by which sshd learns of the host keys of the TPM, their certificates and their authority.

use std::fs;
use std::path::Path;

use tpm_core::KeyType;

use super::place::{KINDS, MachineArgs, algorithm};
use super::server_keys::FileKey;
use crate::show::output::tell;

/// The settings for sshd: the keys and certificates of the TPM, and the files that stay in use.
pub(super) struct DropIn {
    /// The kind of each key, and whether there is a certificate.
    keys: Vec<(KeyType, bool)>,
    files: Vec<FileKey>,
    /// Files of the same type and curve as a key of the TPM.
    pub(super) left_out: Vec<FileKey>,
    /// Whether an authority certifies users, and whether it has a list of revoked keys.
    users: bool,
    revoked: bool,
}

impl DropIn {
    /// For a key of this kind, with a certificate or not. `files` are sshd's keys in files; with `only` none of them stays in use. `users`:
    /// whether an authority's users may log in and revoked keys are refused; `None` keeps the present settings.
    pub(super) fn new(
        machine: &MachineArgs,
        (kind, certified): (KeyType, bool),
        files: Vec<FileKey>,
        only: bool,
        users: Option<bool>,
    ) -> Self {
        let is = |it: KeyType| it == kind || (it.is_rsa() && kind.is_rsa());
        let keys: Vec<_> = KINDS
            .into_iter()
            .filter(|it| is(*it) || machine.public(*it).exists())
            .map(|it| {
                let certificate = machine.certificate(it).exists();
                (it, certificate || (certified && is(it)))
            })
            .collect();
        let has = |file: &FileKey| {
            let same = |(kind, _): &(KeyType, bool)| file.has_algorithm(algorithm(*kind));
            keys.iter().any(same)
        };
        // A file that another line of the configuration names needs no line here.
        let unnamed = files
            .into_iter()
            .filter(|file| !only && file.named.is_none());
        let (left_out, files) = unnamed.partition(has);
        Self {
            keys,
            files,
            left_out,
            users: users.unwrap_or_else(|| machine.user_ca().exists()),
            revoked: users.is_some() || machine.revoked().exists(),
        }
    }

    /// The text. With one `HostKey` sshd takes no others by default.
    pub(super) fn text(&self, machine: &MachineArgs) -> String {
        let mut text = format!("HostKeyAgent {}\n", word(&machine.socket));
        for (kind, certified) in &self.keys {
            text += &format!("HostKey {}\n", word(&machine.public(*kind)));
            if *certified {
                text += &format!("HostCertificate {}\n", word(&machine.certificate(*kind)));
            }
        }
        for file in &self.files {
            text += &format!("HostKey {}\n", word(&file.path));
        }
        for (keyword, path, is_set) in [
            ("TrustedUserCAKeys", machine.user_ca(), self.users),
            ("RevokedKeys", machine.revoked(), self.revoked),
        ] {
            if is_set {
                text += &format!("{keyword} {}\n", word(&path));
            }
        }
        text
    }

    pub(super) fn tell_left_out(&self) {
        for file in &self.left_out {
            let kind = file.public.as_ref().map_or("", |public| public.algorithm());
            tell(&format!(
                "tpmssh: {} is left out: the TPM has a key of the same type and curve ({kind}), and \
                 sshd uses one. Clients that know only the key in the file will see a new one; \
                 those that know another key of this host learn it by UpdateHostKeys.",
                file.path.display()
            ));
        }
    }
}

/// Says if sshd will not look at the drop-in.
pub(super) fn check_included(machine: &MachineArgs) {
    let main = fs::read_to_string(machine.sshd_config()).unwrap_or_default();
    let includes = |line: &str| {
        line.trim_start()
            .to_ascii_lowercase()
            .starts_with("include")
            && line.contains("sshd_config.d/")
    };
    if !main.lines().any(includes) {
        tell(&format!(
            "tpmssh: {} does not include it: add Include {}/*.conf at its top",
            machine.sshd_config().display(),
            machine.ssh().join("sshd_config.d").display()
        ));
    }
}

/// A path as one word of sshd_config(5).
fn word(path: &Path) -> String {
    let text = path.display().to_string();
    if text.contains([' ', '#']) {
        format!("\"{text}\"")
    } else {
        text
    }
}
