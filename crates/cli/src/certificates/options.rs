//! Critical options and extensions of a certificate, as `ssh-keygen -O` takes them.

use std::net::IpAddr;

use ssh_format::CertOption;

/// The extensions of a user's certificate unless options change them.
const ALLOWED: [&str; 5] = [
    "permit-X11-forwarding",
    "permit-agent-forwarding",
    "permit-port-forwarding",
    "permit-pty",
    "permit-user-rc",
];

/// Critical options and extensions.
#[derive(Debug, Clone, Default)]
pub(crate) struct CertOptions {
    pub(crate) critical: Vec<CertOption>,
    pub(crate) extensions: Vec<CertOption>,
}

impl CertOptions {
    /// Those of a user's certificate, changed by each of `options` in turn.
    ///
    /// # Errors
    ///
    /// A sentence for the command line.
    pub(crate) fn for_user(options: &[String]) -> Result<Self, String> {
        let mut result = Self {
            critical: Vec::new(),
            extensions: ALLOWED.map(CertOption::flag).to_vec(),
        };
        for option in options {
            result.apply(option)?;
        }
        Ok(result)
    }

    /// Those of a host's certificate: only custom ones (`critical:NAME`, `extension:NAME`).
    ///
    /// # Errors
    ///
    /// A sentence for the command line.
    pub(crate) fn for_host(options: &[String]) -> Result<Self, String> {
        let mut result = Self::default();
        for option in options {
            if !option.starts_with("critical:") && !option.starts_with("extension:") {
                return Err(format!("\"{option}\" means nothing for a host"));
            }
            result.apply(option)?;
        }
        Ok(result)
    }

    fn apply(&mut self, option: &str) -> Result<(), String> {
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (option, None),
        };
        match (name, value) {
            ("clear", None) => self.extensions.clear(),
            ("force-command", Some(command)) if !command.is_empty() => {
                set(&mut self.critical, CertOption::with_value(name, command))?;
            }
            ("source-address", Some(list)) => {
                check_addresses(list)?;
                set(&mut self.critical, CertOption::with_value(name, list))?;
            }
            ("verify-required", None) => set(&mut self.critical, CertOption::flag(name))?,
            ("no-touch-required", None) => set(&mut self.extensions, CertOption::flag(name))?,
            _ => match name.split_once(':') {
                Some(("critical", name)) if !name.is_empty() => {
                    set(&mut self.critical, made(name, value))?;
                }
                Some(("extension", name)) if !name.is_empty() => {
                    set(&mut self.extensions, made(name, value))?;
                }
                _ => self.apply_permission(option)?,
            },
        }
        Ok(())
    }

    /// `permit-pty`, `no-pty` and their like.
    fn apply_permission(&mut self, option: &str) -> Result<(), String> {
        let named = |allowed: &&str| allowed.eq_ignore_ascii_case(option);
        if let Some(allowed) = ALLOWED.into_iter().find(|allowed| named(allowed)) {
            return set(&mut self.extensions, CertOption::flag(allowed));
        }
        let refused = option
            .strip_prefix("no-")
            .map(|what| format!("permit-{what}"));
        let denied = |allowed: &&str| {
            refused
                .as_ref()
                .is_some_and(|name| name.eq_ignore_ascii_case(allowed))
        };
        match ALLOWED.into_iter().find(|allowed| denied(allowed)) {
            Some(allowed) => {
                self.extensions.retain(|it| it.name() != allowed);
                Ok(())
            }
            None => Err(format!("\"{option}\" is not an option of certificates")),
        }
    }
}

/// Adds an option. One that is there already stays if it is the same flag; anything else is
/// refused, as ssh-keygen does: a certificate has each option once, and it is unclear which one is meant.
fn set(options: &mut Vec<CertOption>, option: CertOption) -> Result<(), String> {
    match options.iter().find(|it| it.name() == option.name()) {
        None => options.push(option),
        Some(old) if *old == option && option.data().is_empty() => {}
        Some(_) => return Err(format!("\"{}\" is given twice", option.name())),
    }
    Ok(())
}

fn made(name: &str, value: Option<&str>) -> CertOption {
    match value {
        Some(value) => CertOption::with_value(name, value),
        None => CertOption::flag(name),
    }
}

/// Checks a list of addresses and networks such as `192.0.2.0/24,2001:db8::1`. sshd refuses a
/// certificate with a list that it cannot read, or in which a network has bits of a host.
fn check_addresses(list: &str) -> Result<(), String> {
    for entry in list.split(',') {
        let (address, len) = match entry.split_once('/') {
            Some((address, len)) => (address, Some(len)),
            None => (entry, None),
        };
        let address: IpAddr = address
            .parse()
            .map_err(|_| format!("\"{entry}\" is not an address or network"))?;
        let (bits, width) = match address {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, 32),
            IpAddr::V6(v6) => (v6.to_bits(), 128),
        };
        let len = match len {
            None => width,
            Some(len) => len
                .parse::<u32>()
                .ok()
                .filter(|&len| len <= width)
                .ok_or_else(|| format!("\"{entry}\" is not a network"))?,
        };
        if bits.checked_shl(len).unwrap_or(0) != 0 {
            return Err(format!("\"{entry}\" has bits behind its network"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(options: &[&str]) -> Result<(Vec<String>, Vec<String>), String> {
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        let names = |all: &[CertOption]| -> Vec<String> {
            all.iter()
                .map(|it| match it.value() {
                    Some(value) => format!("{}={value}", it.name()),
                    None => it.name().to_owned(),
                })
                .collect()
        };
        CertOptions::for_user(&options).map(|it| (names(&it.critical), names(&it.extensions)))
    }

    #[test]
    fn a_user_may_everything_unless_it_is_taken_away() {
        assert_eq!(user(&[]).unwrap().1, ALLOWED);
        let (_, left) = user(&["no-pty", "no-x11-forwarding"]).unwrap();
        assert_eq!(
            left,
            [
                "permit-agent-forwarding",
                "permit-port-forwarding",
                "permit-user-rc"
            ]
        );
        let (critical, left) = user(&[
            "clear",
            "permit-pty",
            "permit-pty",
            "force-command=uptime -p=1",
            "source-address=192.0.2.0/24,2001:db8::1",
            "critical:c@example.org=x",
            "extension:e@example.org",
        ])
        .unwrap();
        assert_eq!(left, ["permit-pty", "e@example.org"]);
        assert_eq!(
            critical,
            [
                "force-command=uptime -p=1",
                "source-address=192.0.2.0/24,2001:db8::1",
                "c@example.org=x"
            ]
        );
    }

    #[test]
    fn an_option_with_a_value_is_given_once() {
        for (options, name) in [
            (
                ["force-command=true", "force-command=false"],
                "force-command",
            ),
            (
                ["force-command=true", "force-command=true"],
                "force-command",
            ),
            (
                ["force-command=true", "critical:force-command=x"],
                "force-command",
            ),
            (
                ["source-address=192.0.2.0/24", "source-address=::1"],
                "source-address",
            ),
            (["critical:a@b=1", "critical:a@b"], "a@b"),
            (["extension:a@b", "extension:a@b=1"], "a@b"),
        ] {
            let refused = user(&options).unwrap_err();
            assert_eq!(refused, format!("\"{name}\" is given twice"));
        }
        let (critical, _) = user(&["verify-required", "verify-required"]).unwrap();
        assert_eq!(critical, ["verify-required"]);
    }

    #[test]
    fn what_sshd_would_not_understand_is_refused() {
        for (option, why) in [
            ("no-such", "\"no-such\" is not an option of certificates"),
            (
                "force-command",
                "\"force-command\" is not an option of certificates",
            ),
            (
                "force-command=",
                "\"force-command=\" is not an option of certificates",
            ),
            (
                "critical:",
                "\"critical:\" is not an option of certificates",
            ),
            (
                "source-address=here",
                "\"here\" is not an address or network",
            ),
            (
                "source-address=10.0.0.0/33",
                "\"10.0.0.0/33\" is not a network",
            ),
            (
                "source-address=10.0.0.1/8",
                "\"10.0.0.1/8\" has bits behind its network",
            ),
            (
                "source-address=::1/64",
                "\"::1/64\" has bits behind its network",
            ),
        ] {
            assert_eq!(user(&[option]).unwrap_err(), why);
        }
        assert!(user(&["source-address=0.0.0.0/0,::/0,10.0.0.1/32"]).is_ok());
        let pty = ["permit-pty".to_owned()];
        assert_eq!(
            CertOptions::for_host(&pty).unwrap_err(),
            "\"permit-pty\" means nothing for a host"
        );
    }
}
