//! The certificates of endorsement keys: is there one, is it one, and is it this chip's?

use key_proof::{EkCertificate, PublicArea};
use token_store::Kind;
use tpm_core::ek::{self, Ek, EkType};
use tpm_core::info::Info;
use tpm_core::{Error, Operation};

use super::check::Check;

pub(super) const NAME: &str = "EK certificate";

/// What the TPM holds for one kind of endorsement key.
enum Found {
    /// A certificate for the key that is in the TPM.
    Ours { issuer: String },
    /// A certificate for a key that is not at its persistent handle, so it cannot be compared.
    Unmatched { issuer: String },
    /// A certificate for another key.
    Others { issuer: String },
    /// Something else, of so many bytes.
    NoCertificate { len: usize },
    /// Something that asks for a password.
    Unreadable,
}

pub(super) fn check(op: &Operation<'_>, info: &Info) -> tpm_core::Result<Check> {
    let mut found = Vec::new();
    for ek_type in EkType::ALL {
        match ek::certificate(op, ek_type) {
            Ok(None) => {}
            Ok(Some(der)) => {
                let key = ek::find(op, ek_type).unwrap_or_default();
                found.push((ek_type, look(&der, key.as_ref())));
            }
            Err(Error::NvUnreadable(_)) => found.push((ek_type, Found::Unreadable)),
            Err(err) => return Err(err),
        }
    }
    Ok(told(&found, info.emulated))
}

fn look(der: &[u8], key: Option<&Ek>) -> Found {
    let Ok(certificate) = EkCertificate::parse(der) else {
        return Found::NoCertificate { len: der.len() };
    };
    let issuer = certificate.issuer();
    let is_for = |key: &Ek| {
        PublicArea::parse(&key.public).is_ok_and(|public| certificate.has_key_of(&public))
    };
    match key.map(is_for) {
        None => Found::Unmatched { issuer },
        Some(true) => Found::Ours { issuer },
        Some(false) => Found::Others { issuer },
    }
}

/// The check for the worst of them.
fn told(found: &[(EkType, Found)], emulated: bool) -> Check {
    let others = |it: &&(EkType, Found)| matches!(it.1, Found::Others { .. });
    let worst_first = found.iter().filter(others).chain(found);
    for (ek_type, found) in worst_first {
        let index = format!("{:#010x}", ek_type.certificate_index());
        match found {
            Found::NoCertificate { len } => {
                let detail = format!("NV index {index} has {len} bytes that are no certificate");
                return Check::warning(NAME, detail).fixed_by(
                    "update the TPM's firmware, or ask the machine's maker for the certificate",
                );
            }
            Found::Unreadable => {
                let detail = format!("NV index {index} cannot be read");
                return Check::warning(NAME, detail)
                    .fixed_by("ask the machine's maker for the certificate");
            }
            Found::Others { issuer } => {
                let detail = format!(
                    "the one in NV index {index}, by {issuer}, is of another endorsement key"
                );
                return Check::problem(NAME, Kind::OtherTpm, detail)
                    .fixed_by("do not trust this TPM before its maker has explained that");
            }
            Found::Ours { .. } | Found::Unmatched { .. } => {}
        }
    }
    let mut all = Vec::new();
    let mut is_matched = true;
    for (ek_type, found) in found {
        if let Found::Ours { issuer } | Found::Unmatched { issuer } = found {
            is_matched &= matches!(found, Found::Ours { .. });
            all.push(format!("{} by {issuer}", ek_type.name()));
        }
    }
    let all = all.join("; ");
    if all.is_empty() {
        return Check::warning(NAME, "none, so nothing proves that this TPM is a real one");
    }
    if emulated {
        let detail = format!("of an emulated TPM, which proves nothing: {all}");
        return Check::warning(NAME, detail);
    }
    match is_matched {
        true => Check::ok(
            NAME,
            format!("for the key in this TPM: {all}; its signature was not checked"),
        ),
        false => Check::ok(
            NAME,
            format!("{all}; not compared with the key, which is not made yet"),
        )
        .fixed_by("tpmssh tpm create-ek"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(found: Vec<Found>, emulated: bool) -> String {
        let found: Vec<_> = found.into_iter().map(|it| (EkType::Rsa2048, it)).collect();
        let said = told(&found, emulated).to_string();
        said.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_kind_of_content_is_called_what_it_is() {
        let locked = said(vec![Found::Unreadable], false);
        assert!(
            locked.contains("NV index 0x01c00002 cannot be read"),
            "{locked}"
        );
        let issuer = || "CN=Maker".to_owned();
        let ours = || Found::Ours { issuer: issuer() };
        assert!(said(vec![], false).starts_with("warning EK certificate none"));
        let zeros = look(&[0; 64], None);
        let zeros = said(vec![ours(), zeros], false);
        assert!(
            zeros.contains("NV index 0x01c00002 has 64 bytes that are no certificate"),
            "{zeros}"
        );
        let others = said(vec![Found::Others { issuer: issuer() }], false);
        assert!(
            others.starts_with("problem") && others.contains("by CN=Maker, is of another"),
            "{others}"
        );
        let both = vec![Found::Unreadable, Found::Others { issuer: issuer() }];
        assert!(said(both, false).starts_with("problem"));
        assert!(said(vec![ours()], false).starts_with("ok EK certificate for the key in this TPM"));
        assert!(said(vec![ours()], true).contains("an emulated TPM, which proves nothing"));
        let unmatched = said(vec![Found::Unmatched { issuer: issuer() }], false);
        assert!(unmatched.contains("not compared"), "{unmatched}");
    }
}
