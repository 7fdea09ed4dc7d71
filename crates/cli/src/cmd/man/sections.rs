//! The sections that all pages have: files, variables, exit codes and other pages.

use roff::{Inline, Roff, bold, italic, roman};

use super::parts::entry;

const FILES: &[(&str, &str)] = &[
    (
        "~/.local/share/tpmssh/store.db",
        "The tokens: public keys, certificates and encrypted key blobs. Worth a backup; of no use in \
         another machine.",
    ),
    (
        "~/.config/tpmssh/config.toml",
        "The configuration: see tpmssh-config(5).",
    ),
    (
        "~/.local/state/tpmssh/agent.log",
        "What the agent used keys for.",
    ),
    ("$XDG_RUNTIME_DIR/tpmssh/agent.sock", "The agent's socket."),
    ("/var/lib/tpmssh", "The store of sshd's host keys."),
    (
        "/etc/tpmssh/srk",
        "The TPM of this machine, if root recorded it: see tpmssh-tpm-pin-srk(1).",
    ),
];

const ENVIRONMENT: &[(&str, &str)] = &[
    (
        "TPMSSH_TCTI",
        "The TPM, as for --tcti, which is stronger. The configuration file is weaker.",
    ),
    (
        "TPMSSH_TOKEN",
        "The token, by label or serial number, as for --token, which is stronger.",
    ),
    ("TPMSSH_STORE", "The directory of the store."),
    (
        "SSH_ASKPASS, SSH_ASKPASS_REQUIRE",
        "The program that asks for a PIN, and when it does, as for ssh-add(1).",
    ),
    ("NO_COLOR", "If it is not empty, there are no colours."),
    (
        "CLICOLOR, CLICOLOR_FORCE",
        "0 means no colours; CLICOLOR_FORCE=1 means colours also in files and pipes.",
    ),
    (
        "XDG_CONFIG_HOME, XDG_DATA_HOME, XDG_STATE_HOME, XDG_RUNTIME_DIR",
        "Where the files are that are named above.",
    ),
];

/// The exit codes, with what they mean.
pub(super) const EXIT_STATUS: &[(&str, &str)] = &[
    ("0", "Done."),
    ("1", "Failed."),
    ("2", "Wrong usage, or a name that several have."),
    ("3", "Wrong PIN, recovery code or password."),
    ("4", "The PIN or the TPM is locked."),
    ("5", "There is no TPM, or it does not answer."),
    ("6", "It is another TPM, or it was cleared."),
    ("7", "The store is damaged."),
    ("8", "A key, certificate or signature is refused."),
    ("9", "Other users can write to a path, or read a secret."),
    ("10", "Another program is at work; try again."),
    ("11", "The disk is full, failing or read-only."),
    (
        "12",
        "Not there: no such token, key, certificate or authority.",
    ),
];

/// Pages that belong to those of some commands, by the first of their words.
const SEE_ALSO: &[(&str, &[(&str, &str)])] = &[
    (
        "agent",
        &[("ssh-agent", "1"), ("ssh-add", "1"), ("tpmssh-unlock", "1")],
    ),
    ("unlock", &[("tpmssh-agent", "1")]),
    ("lock", &[("tpmssh-agent", "1")]),
    (
        "ca",
        &[
            ("ssh-keygen", "1"),
            ("sshd_config", "5"),
            ("tpmssh-cert", "1"),
        ],
    ),
    (
        "cert",
        &[("ssh-keygen", "1"), ("ssh_config", "5"), ("tpmssh-ca", "1")],
    ),
    ("copy-id", &[("ssh-copy-id", "1"), ("sshd", "8")]),
    ("csr", &[("tpmssh-cert-import-x509", "1")]),
    ("export", &[("sshd", "8"), ("tpmssh-copy-id", "1")]),
    ("git", &[("git-commit", "1"), ("git-config", "1")]),
    ("host", &[("sshd", "8"), ("sshd_config", "5")]),
    ("keygen", &[("ssh-keygen", "1"), ("tpmssh-copy-id", "1")]),
    ("sign", &[("ssh-keygen", "1"), ("tpmssh-verify", "1")]),
    ("verify", &[("ssh-keygen", "1"), ("tpmssh-sign", "1")]),
    (
        "",
        &[
            ("ssh", "1"),
            ("ssh-agent", "1"),
            ("ssh_config", "5"),
            ("sshd", "8"),
        ],
    ),
];

/// Adds them to the page of the command with these words after `tpmssh`.
pub(super) fn add(roff: &mut Roff, path: &str) {
    terms(roff, "FILES", FILES);
    terms(roff, "ENVIRONMENT", ENVIRONMENT);
    terms(roff, "EXIT STATUS", EXIT_STATUS);
    let words: Vec<&str> = path.split(' ').collect();
    let mut pages: Vec<(String, &str)> = Vec::new();
    // The pages of the commands that this one is below.
    for count in (0..words.len()).filter(|_| !path.is_empty()) {
        let above = [&["tpmssh"], &words[..count]].concat().join("-");
        pages.push((above, "1"));
    }
    let also = SEE_ALSO.iter().find(|(first, _)| *first == words[0]);
    for (name, section) in also.map_or(&[][..], |(_, pages)| pages) {
        pages.push(((*name).to_owned(), section));
    }
    pages.push(("tpmssh-config".to_owned(), "5"));
    see_also(roff, &pages);
}

/// The section with other pages.
pub(super) fn see_also(roff: &mut Roff, pages: &[(String, &str)]) {
    roff.control("SH", ["SEE ALSO"]);
    let mut inlines: Vec<Inline> = Vec::new();
    for (name, section) in pages {
        if !inlines.is_empty() {
            inlines.push(roman(", "));
        }
        inlines.push(bold(name.clone()));
        inlines.push(roman(format!("({section})")));
    }
    roff.text(inlines);
}

fn terms(roff: &mut Roff, heading: &str, terms: &[(&str, &str)]) {
    roff.control("SH", [heading]);
    for (term, meaning) in terms {
        let is_path = term.contains('/');
        let term = if is_path { italic(*term) } else { bold(*term) };
        entry(roff, [term], meaning);
    }
}
