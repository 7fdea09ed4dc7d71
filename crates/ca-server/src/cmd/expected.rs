//! Expected machines: their endorsement keys by Name or by maker's certificate. They are read from a file of JSON lines or CSV; a single one is given by
//! options.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::ValueEnum;
use key_proof::{EkCertificate, EkRange};

use crate::admin::Line;
use crate::files;

/// The longest file of devices, in bytes.
const MAX_DEVICES: u64 = 16 * 1024 * 1024;
/// The longest file with a certificate, in bytes.
const MAX_CERTIFICATE: u64 = 64 * 1024;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file with the machines
    #[arg(required_unless_present = "ek_certificate", conflicts_with_all = ["ek_certificate", "role", "name"])]
    file: Option<PathBuf>,

    /// The maker's certificate of one machine's endorsement key, PEM or DER
    #[arg(long, value_name = "FILE", requires_all = ["role", "name"])]
    ek_certificate: Option<PathBuf>,

    /// The role of that machine
    #[arg(long, requires = "ek_certificate")]
    role: Option<String>,

    /// The name of that machine or person
    #[arg(long, requires = "ek_certificate")]
    name: Option<String>,

    /// The templates that RSA 2048 and P-256 keys with certificates follow
    ///
    /// low is for the certificates at 0x01c00002 and 0x01c0000a in the chip, which most chips come with, and high for those at 0x01c00012 and
    /// 0x01c00014. Keys of other types have one template.
    #[arg(long, value_enum, default_value = "low")]
    ek_range: Range,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Range {
    Low,
    High,
}

impl Args {
    /// The machines.
    ///
    /// # Errors
    ///
    /// What is wrong with a file.
    pub(super) fn devices(&self) -> anyhow::Result<Vec<Line>> {
        let range = match self.ek_range {
            Range::Low => EkRange::Low,
            Range::High => EkRange::High,
        };
        if let (Some(path), Some(role), Some(name)) = (&self.ek_certificate, &self.role, &self.name)
        {
            return Ok(vec![Line {
                ek_name: ek_name(path, range).context("nothing is imported")?,
                role: role.clone(),
                name: name.clone(),
            }]);
        }
        let file = self.file.as_deref().context("a file is missing")?;
        let content = files::read(file, MAX_DEVICES)?;
        let dir = file.parent().unwrap_or(Path::new(""));
        read(&content, &|path| ek_name(&dir.join(path), range))
    }
}

/// The Name of the endorsement key whose certificate is in a file, in hexadecimal.
fn ek_name(path: &Path, range: EkRange) -> anyhow::Result<String> {
    let shown = path.display();
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_CERTIFICATE + 1).read_to_end(&mut bytes))
        .with_context(|| format!("cannot read {shown}"))?;
    if u64::try_from(bytes.len())? > MAX_CERTIFICATE {
        bail!("{shown} is longer than {MAX_CERTIFICATE} bytes");
    }
    let area = EkCertificate::from_file(&bytes).and_then(|it| it.public_area(range));
    match area {
        Ok(area) => Ok(area.name().to_string()),
        // Only the reason, because the whole message would speak of a proof.
        Err(key_proof::Error::Refused { why, .. }) => bail!("{shown}: {why}"),
        Err(err) => bail!("{shown}: {err}"),
    }
}

/// A function from the path of a certificate to the Name of its endorsement key.
type NameOf<'a> = &'a dyn Fn(&str) -> anyhow::Result<String>;

/// The machines in a file.
///
/// # Errors
///
/// The first line that cannot be read, and why.
fn read(content: &str, name_of: NameOf<'_>) -> anyhow::Result<Vec<Line>> {
    let mut columns = None;
    let mut devices = Vec::new();
    for (line, number) in content.lines().zip(1..) {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let at = || format!("nothing is imported: line {number}");
        if columns.is_none() && devices.is_empty() && !line.starts_with('{') {
            columns = Some(Columns::read(line).with_context(at)?);
            continue;
        }
        devices.push(match &columns {
            Some(columns) => columns.line(line, name_of).with_context(at)?,
            None => serde_json::from_str(line).with_context(at)?,
        });
    }
    Ok(devices)
}

/// The positions of the fields in a line.
struct Columns {
    /// The Name of the endorsement key, or the path to its certificate.
    ek: usize,
    is_certificate: bool,
    name: usize,
    role: usize,
    len: usize,
}

impl Columns {
    fn read(head: &str) -> anyhow::Result<Self> {
        let fields = fields(head)?;
        let only = |names: &[&str]| {
            let mut found = (0..).zip(&fields).filter(|(_, it)| names.contains(it));
            match (found.next(), found.next()) {
                (Some((index, _)), None) => Ok(index),
                _ => bail!(
                    "it is neither JSON nor the head of CSV, ek_name,name,role: {} has to be there once",
                    names.join(" or ")
                ),
            }
        };
        let ek = only(&["ek_name", "ek_certificate"])?;
        Ok(Self {
            ek,
            is_certificate: fields.get(ek) == Some(&"ek_certificate"),
            name: only(&["name", "hostname"])?,
            role: only(&["role"])?,
            len: fields.len(),
        })
    }

    fn line(&self, line: &str, name_of: NameOf<'_>) -> anyhow::Result<Line> {
        let fields = fields(line)?;
        if fields.len() != self.len {
            bail!(
                "it has {} fields, and the first line {}",
                fields.len(),
                self.len
            );
        }
        let field = |index: usize| {
            fields
                .get(index)
                .map(|it| (*it).to_owned())
                .unwrap_or_default()
        };
        let ek = field(self.ek);
        Ok(Line {
            ek_name: if self.is_certificate {
                name_of(&ek)?
            } else {
                ek
            },
            role: field(self.role),
            name: field(self.name),
        })
    }
}

/// Splits a line at its commas. Quotation marks are refused: no Name, role or name of a machine needs one.
fn fields(line: &str) -> anyhow::Result<Vec<&str>> {
    if line.contains('"') {
        bail!("it has a quotation mark, and no field needs one");
    }
    Ok(line.split(',').map(str::trim).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &str) -> anyhow::Result<Vec<Line>> {
        super::read(content, &|path| Ok(format!("Name of {path}")))
    }

    #[test]
    fn both_forms_say_the_same() {
        let json = "\n{\"ek_name\": \"00\", \"role\": \"host\", \"name\": \"web1\"}\n";
        for text in [
            json,
            "ek_name,hostname,role\n00,web1,host\n",
            "\nrole, name, note, ek_name\r\nhost, web1, in the cellar, 00\r\n\r\n",
        ] {
            let lines = read(text).unwrap();
            let shown: Vec<_> = lines
                .iter()
                .map(|it| [it.ek_name.as_str(), &it.role, &it.name])
                .collect();
            assert_eq!(shown, [["00", "host", "web1"]], "{text}");
        }
        assert!(read("\n").unwrap().is_empty());
        let by_certificate = read("ek_certificate,name,role\ncerts/1.pem,web1,host\n").unwrap();
        assert_eq!(by_certificate[0].ek_name, "Name of certs/1.pem");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let head = "it is neither JSON nor the head of CSV, ek_name,name,role";
        for (text, says) in [
            (
                "000b,web1,host\n",
                format!("line 1: {head}: ek_name or ek_certificate has to be there once"),
            ),
            (
                "ek_name,name,hostname,role",
                format!("line 1: {head}: name or hostname has to be there once"),
            ),
            (
                "ek_name,ek_certificate,name,role\n",
                format!("line 1: {head}: ek_name or ek_certificate has to be there once"),
            ),
            (
                "ek_name,name\n",
                format!("line 1: {head}: role has to be there once"),
            ),
            (
                "ek_name,name,role\n00,web1\n",
                "line 2: it has 2 fields, and the first line 3".to_owned(),
            ),
            (
                "ek_name,name,role\n00,\"web1\",host\n",
                "line 2: it has a quotation mark, and no field needs one".to_owned(),
            ),
        ] {
            let err = format!("{:#}", read(text).unwrap_err());
            assert_eq!(err, format!("nothing is imported: {says}"));
        }
        assert!(read("{\"ek_name\": \"00\"}\n").is_err());
        assert!(
            read("{\"ek_name\": \"00\", \"role\": \"a\", \"name\": \"b\"}\nek_name,name,role\n")
                .is_err()
        );
    }
}
