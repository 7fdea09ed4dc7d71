//! Critical options and extensions of a certificate.

use crate::wire::{Reader, put_nested, put_string};
use crate::{Error, Result};

/// The most options of one sort that are read.
const MAX_OPTIONS: usize = 1024;

/// A critical option or an extension: a name, and for some of them data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertOption {
    name: String,
    data: Vec<u8>,
}

impl CertOption {
    /// An option without data, such as `permit-pty`.
    #[must_use]
    pub fn flag(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            data: Vec::new(),
        }
    }

    /// An option with a text, such as `force-command`.
    #[must_use]
    pub fn with_value(name: &str, value: &str) -> Self {
        let mut data = Vec::new();
        put_string(&mut data, value.as_bytes());
        Self {
            name: name.to_owned(),
            data,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its data, as it stands in the certificate.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Its text; `None` if its data is not a text.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        let mut reader = Reader::new(&self.data, "option");
        let value = reader.text("value").ok()?;
        reader.is_empty().then_some(value)
    }
}

/// All options of one sort. OpenSSH writes them in the order of their names and reads them in any
/// order. No option may be there twice.
pub(super) fn read_all(mut reader: Reader<'_>) -> Result<Vec<CertOption>> {
    let mut options: Vec<CertOption> = Vec::new();
    while !reader.is_empty() {
        if options.len() == MAX_OPTIONS {
            return Err(reader.malformed("it has too many options"));
        }
        let name = reader.text("option")?;
        let data = reader.string()?;
        if options.iter().any(|option| option.name == name) {
            return Err(reader.malformed("it has an option twice"));
        }
        options.push(CertOption {
            name: name.to_owned(),
            data: data.to_vec(),
        });
    }
    Ok(options)
}

/// The first option that OpenSSH knows and whose data has a wrong form.
///
/// # Source
///
/// PROTOCOL.certkeys of OpenSSH; `show_options` of its ssh-keygen, which refuses these.
pub(super) fn malformed<'a>(
    critical: &'a [CertOption],
    extensions: &'a [CertOption],
) -> Option<&'a str> {
    let is_malformed = |option: &&CertOption, texts: &[&str], flags: &[&str]| {
        texts.contains(&option.name()) && option.value().is_none()
            || flags.contains(&option.name()) && !option.data.is_empty()
    };
    let texts = ["force-command", "source-address"];
    let mut critical = critical.iter();
    let mut extensions = extensions.iter();
    critical
        .find(|option| is_malformed(option, &texts, &["verify-required"]))
        .or_else(|| extensions.find(|option| is_malformed(option, &[], &FLAGS)))
        .map(CertOption::name)
}

/// The extensions of OpenSSH, which have no data.
const FLAGS: [&str; 6] = [
    "permit-X11-forwarding",
    "permit-agent-forwarding",
    "permit-port-forwarding",
    "permit-pty",
    "permit-user-rc",
    "no-touch-required",
];

/// Appends options, in the order of their names.
pub(super) fn put_all(out: &mut Vec<u8>, options: &[CertOption]) -> Result<()> {
    let mut sorted: Vec<&CertOption> = options.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    if sorted.windows(2).any(|pair| pair[0].name == pair[1].name) {
        return Err(Error::Request("has each option only once"));
    }
    put_nested(out, |out| {
        for option in sorted {
            put_string(out, option.name.as_bytes());
            put_string(out, &option.data);
        }
    });
    Ok(())
}
