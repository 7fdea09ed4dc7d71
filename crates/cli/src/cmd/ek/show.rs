//! `tpmssh ek show` and `ek export`.

use std::fmt;

use key_proof::{EkCertificate, Maker, PublicArea};
use serde::Serialize;
use token_store::Error as StoreError;
use tpm_core::ek::{self, Ek, EkType};

use crate::app::App;
use crate::fail::error::ProofError;
use crate::proofs::report::MakerReport;
use crate::show::output::{self, Facts};
use crate::show::pem;

/// Show the endorsement keys of this TPM and their certificates
///
/// The Name of one is what tpmssh verify-proof --ek takes. Keys without a persistent handle are not shown: see tpmssh tpm create-ek.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Print the Names and certificates for an authority's list
///
/// A line for each endorsement key: its Name, its type, and the maker's certificate in PEM below it if there is one. With --role and --name
/// one line of JSON for tpmssh-ca device import, with the key that tpmssh enroll shows.
#[derive(Debug, clap::Args)]
pub(crate) struct ExportArgs {
    /// The role that the authority is to expect this TPM in
    #[arg(long, requires = "name")]
    role: Option<String>,

    /// The name of the machine or person there
    #[arg(long, requires = "role")]
    name: Option<String>,
}

pub(crate) fn show(app: &App, _args: &Args) -> anyhow::Result<()> {
    app.out.print(&Report { keys: keys(app)? })
}

pub(crate) fn export(app: &App, args: &ExportArgs) -> anyhow::Result<()> {
    let keys = keys(app)?;
    let (Some(role), Some(name)) = (&args.role, &args.name) else {
        return app.out.print(&Export { keys });
    };
    let shown = keys.iter().find(|it| it.certificate.is_some());
    let Some(key) = shown.or(keys.first()) else {
        return Err(ProofError::NoEk.into());
    };
    let line = serde_json::to_string(&Expected {
        ek_name: &key.name,
        role,
        name,
    })?;
    Ok(output::write(&format!("{line}\n"))?)
}

/// A line of a file that `tpmssh-ca device import` takes.
#[derive(Serialize)]
struct Expected<'a> {
    ek_name: &'a str,
    role: &'a str,
    name: &'a str,
}

fn keys(app: &App) -> anyhow::Result<Vec<Key>> {
    let tpm = app.tpm()?;
    let found = tpm.begin().and_then(|op| {
        let mut found = Vec::new();
        for ek_type in EkType::ALL {
            // Another object at the handle is skipped.
            match ek::find(&op, ek_type) {
                Ok(Some(key)) => {
                    let certificate = match ek::certificate(&op, ek_type) {
                        Err(tpm_core::Error::NvUnreadable(_)) => Contents::Unreadable,
                        other => other?.map_or(Contents::Nothing, Contents::Bytes),
                    };
                    found.push((key, certificate));
                }
                Ok(None) | Err(tpm_core::Error::HandleOccupied(_)) => {}
                Err(err) => return Err(err),
            }
        }
        Ok(found)
    });
    let keys: Vec<Key> = found
        .map_err(StoreError::from)?
        .into_iter()
        .map(|(key, certificate)| Key::new(&key, &certificate))
        .collect();
    if keys.is_empty() {
        return Err(ProofError::NoEk.into());
    }
    Ok(keys)
}

/// The contents of a certificate's NV index.
enum Contents {
    Nothing,
    Unreadable,
    Bytes(Vec<u8>),
}

#[derive(Debug, Serialize)]
struct Key {
    #[serde(rename = "type")]
    ek_type: &'static str,
    handle: String,
    name: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    maker: Option<MakerReport>,
    /// PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<String>,
}

impl Key {
    fn new(key: &Ek, certificate: &Contents) -> Self {
        let (state, maker, der) = match certificate {
            Contents::Nothing => ("no certificate", None, None),
            Contents::Unreadable => ("NV index that cannot be read", None, None),
            Contents::Bytes(der) => match read(key, der) {
                Err(state) => (state, None, None),
                Ok((certificate, maker)) => (
                    "certificate of this key, its signature not looked at",
                    Some(MakerReport::from(&maker)),
                    Some(certificate),
                ),
            },
        };
        Self {
            ek_type: key.ek_type.name(),
            handle: format!("{:#010x}", key.ek_type.handle()),
            name: key.name.to_string(),
            state,
            maker,
            certificate: der.map(|it| pem::certificate(it.der())),
        }
    }
}

/// The certificate and what it says, or what is wrong with it.
fn read(key: &Ek, der: &[u8]) -> Result<(EkCertificate, Maker), &'static str> {
    let certificate = EkCertificate::parse(der).map_err(|_| "certificate that cannot be read")?;
    let public = PublicArea::parse(&key.public).map_err(|_| "key that cannot be read")?;
    certificate.check_is_for(&public).map_err(|err| match err {
        key_proof::Error::Refused { why, .. } => why,
        _ => "certificate that cannot be read",
    })?;
    let maker = certificate
        .maker()
        .map_err(|_| "certificate that does not name the TPM's maker")?;
    Ok((certificate, maker))
}

#[derive(Debug, Serialize)]
struct Report {
    keys: Vec<Key>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, key) in self.keys.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            let mut facts = Facts::default();
            facts.add("endorsement key", key.ek_type);
            facts.add("handle", &key.handle);
            facts.add("name", &key.name);
            facts.add("certificate", key.state);
            if let Some(maker) = &key.maker {
                facts.add("maker", maker);
            }
            facts.fmt(f)?;
        }
        Ok(())
    }
}

#[derive(Debug, Serialize)]
struct Export {
    keys: Vec<Key>,
}

impl fmt::Display for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for key in &self.keys {
            writeln!(f, "{} {}", key.name, key.ek_type)?;
            f.write_str(key.certificate.as_deref().unwrap_or_default())?;
        }
        Ok(())
    }
}
