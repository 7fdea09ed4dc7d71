//! Files of machines that are expected: JSON lines, or CSV.

use anyhow::{Context, bail};

use crate::admin::Line;

/// The machines in a file.
///
/// # Errors
///
/// The first line that is none.
pub(super) fn read(content: &str) -> anyhow::Result<Vec<Line>> {
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
            Some(columns) => columns.line(line).with_context(at)?,
            None => serde_json::from_str(line).with_context(at)?,
        });
    }
    Ok(devices)
}

/// Which field of a line is what.
struct Columns {
    ek_name: usize,
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
        Ok(Self {
            ek_name: only(&["ek_name"])?,
            name: only(&["name", "hostname"])?,
            role: only(&["role"])?,
            len: fields.len(),
        })
    }

    fn line(&self, line: &str) -> anyhow::Result<Line> {
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
        Ok(Line {
            ek_name: field(self.ek_name),
            role: field(self.role),
            name: field(self.name),
        })
    }
}

/// The fields of a line. No Name, role or name of a machine needs a quotation mark.
fn fields(line: &str) -> anyhow::Result<Vec<&str>> {
    if line.contains('"') {
        bail!("it has a quotation mark, and no field needs one");
    }
    Ok(line.split(',').map(str::trim).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

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
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let head = "it is neither JSON nor the head of CSV, ek_name,name,role";
        for (text, says) in [
            (
                "000b,web1,host\n",
                format!("line 1: {head}: ek_name has to be there once"),
            ),
            (
                "ek_name,name,hostname,role",
                format!("line 1: {head}: name or hostname has to be there once"),
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
