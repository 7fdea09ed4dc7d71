//! The page of the configuration file: tpmssh-config(5).

use roff::{Roff, bold, italic, roman};

use super::parts::{entry, example, named, paragraphs, title};
use super::sections::see_also;

/// The keys outside of any section.
const KEYS: &[(&str, &str, &str)] = &[
    (
        "tcti",
        "\"device:/dev/tpmrm0\"",
        "The TPM: device for the kernel's resource manager at the first of /dev/tpmrm0, \
         /dev/tpmrm1 and so on, device:PATH for one of them, tabrmd: for the resource manager \
         tpm2-abrmd, or swtpm:host=HOST,port=PORT for a simulator on this machine. The default is \
         device.",
    ),
    (
        "simulated",
        "false",
        "Whether that TPM is a simulator, which protects nothing; commands then say so. Written by \
         tpmssh simulator start.",
    ),
    (
        "token",
        "\"ssh\"",
        "The token that is meant if none is named, by label or serial number. Programs that use the \
         PKCS#11 module see only this one.",
    ),
    (
        "pin-wall",
        "\"counter\"",
        "How PIN guessing is limited in new tokens: \"counter\" (by a counter of the token), \
         \"lockout\" (by the lockout that the whole TPM shares) or \"none\" (there is no PIN).",
    ),
];

/// The keys of the section `[agent]`.
const AGENT: &[(&str, &str, &str)] = &[
    (
        "pin",
        "\"8h\"",
        "How long the agent keeps a PIN that was typed: a time such as \"30m\" or \"8h\"; \
         \"until-locked\"; \"confirm\", which also asks before each use; or \"never\", which asks for \
         the PIN each time.",
    ),
    (
        "proxy",
        "[\"/run/user/1000/ssh-agent.socket\"]",
        "Sockets of other agents, which get what this one does not hold. Paths are absolute.",
    ),
    (
        "notify",
        "true",
        "Whether the desktop shows when a key is used.",
    ),
    (
        "log",
        "true",
        "Whether the agent keeps a log of what keys were used for; tpmssh agent log shows it.",
    ),
    (
        "sha1",
        "false",
        "Whether RSA keys also make signatures with SHA-1 (ssh-rsa), as OpenSSH's agent does, for \
         programs that know no other, such as pam_ssh_agent_auth. Servers refuse such signatures.",
    ),
];

const EXAMPLE: &str = "\
token = \"work\"
pin-wall = \"counter\"

[agent]
pin = \"8h\"
proxy = [\"/run/user/1000/ssh-agent.socket\"]

[agent.pins]
\"production\" = \"confirm\"";

/// The text of the page.
pub(super) fn page() -> String {
    let mut roff = Roff::new();
    title(&mut roff, "tpmssh-config", "5");
    named(
        &mut roff,
        "tpmssh-config",
        "the configuration file of tpmssh",
    );
    roff.control("SH", ["SYNOPSIS"]);
    roff.text([italic("~/.config/tpmssh/config.toml")]);
    roff.control("SH", ["DESCRIPTION"]);
    paragraphs(
        &mut roff,
        "The program, the agent and the PKCS#11 module read this file, which is in TOML. No file is \
         needed: everything has a default. A key that does not exist is an error, and so is a file \
         that other users can write to.\n\n\
         An option of the command line is stronger than an environment variable, and a variable is \
         stronger than the file.\n\n\
         Times are those of sshd_config(5): 90 (seconds), 10m, 1h30m, 2d, 1w.",
    );
    roff.control("SH", ["KEYS"]);
    keys(&mut roff, KEYS);
    roff.control("SH", ["SECTION [agent]"]);
    keys(&mut roff, AGENT);
    roff.control("SH", ["SECTION [agent.pins]"]);
    paragraphs(
        &mut roff,
        "The same as pin in the section [agent], for one token: its label or serial number, and the \
         value.",
    );
    roff.control("SH", ["EXAMPLES"]);
    example(
        &mut roff,
        "A token of its own for production, whose each use is confirmed",
        EXAMPLE,
    );
    roff.control("SH", ["FILES"]);
    entry(
        &mut roff,
        [italic("$XDG_CONFIG_HOME/tpmssh/config.toml")],
        "The file, if XDG_CONFIG_HOME is set; else ~/.config/tpmssh/config.toml.",
    );
    let pages = [("tpmssh", "1"), ("tpmssh-agent", "1"), ("sshd_config", "5")];
    see_also(
        &mut roff,
        &pages.map(|(name, section)| (name.to_owned(), section)),
    );
    roff.to_roff()
}

fn keys(roff: &mut Roff, keys: &[(&str, &str, &str)]) {
    for (key, value, meaning) in keys {
        entry(roff, [bold(*key), roman(" = "), italic(*value)], meaning);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each key with the value that the page shows for it, as a file.
    fn file() -> String {
        let lines = |keys: &[(&str, &str, &str)]| {
            let line = |(key, value, _): &(&str, &str, &str)| format!("{key} = {value}\n");
            keys.iter().map(line).collect::<String>()
        };
        format!("{}[agent]\n{}", lines(KEYS), lines(AGENT))
    }

    #[test]
    fn what_the_page_shows_is_toml() {
        for text in [file().as_str(), EXAMPLE] {
            let parsed: toml::Table = text.parse().unwrap();
            assert!(parsed.contains_key("agent"));
        }
    }
}
