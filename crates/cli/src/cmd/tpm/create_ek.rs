//! `tpmssh tpm create-ek`: the key that identifies the chip, and its maker's certificate.

use std::fmt;

use key_proof::EkCertificate;
use serde::Serialize;
use token_store::Error as StoreError;
use tpm_core::ek::{self, Ek, EkType};
use tpm_core::info;
use tpm_core::ownership::Hierarchy;

use crate::app::App;
use crate::ask::hierarchy_auth;
use crate::options::{EkTypeArg, EndorsementAuthArgs, OwnerAuthArgs};
use crate::show::output::{Facts, tell};
use crate::show::pem;

/// Make the TPM's endorsement key (EK) and show its certificate
///
/// The EK comes from the TCG's template and a seed that never changes, so it is the same key
/// every time; one that is there already is shown as it is. Its certificate, where the maker
/// put one into the TPM, says whose TPM this is.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The template
    #[arg(short = 't', long = "type", value_enum, default_value_t = EkTypeArg::Rsa2048)]
    ek_type: EkTypeArg,

    #[command(flatten)]
    endorsement: EndorsementAuthArgs,
    #[command(flatten)]
    owner: OwnerAuthArgs,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let ek_type = EkType::from(args.ek_type);
    let tpm = app.tpm()?;
    let (info, found, certificate) = tpm
        .begin()
        .and_then(|op| {
            let certificate = match ek::certificate(&op, ek_type) {
                Err(err @ tpm_core::Error::NvUnreadable(_)) => {
                    tell(&format!("tpmssh: {err}"));
                    None
                }
                other => other?,
            };
            Ok((info::read(&op)?, ek::find(&op, ek_type)?, certificate))
        })
        .map_err(StoreError::from)?;
    let made = found.is_none();
    let ek = match found {
        Some(ek) => ek,
        None => {
            let endorsement = hierarchy_auth::read_endorsement(&args.endorsement.source(), &info)?;
            let owner = hierarchy_auth::read_owner(&args.owner.source(), &info)?;
            tpm.begin()
                .and_then(|op| {
                    let srk = app.srk(&op)?;
                    ek::create(&op, srk.as_ref(), ek_type, &endorsement, &owner)
                })
                .map_err(|err| hierarchy_auth::explain(err, &info, Hierarchy::Endorsement))?
        }
    };
    let certificate = match certificate {
        Some(der) => {
            let certificate = EkCertificate::parse(&der).ok();
            if certificate.is_none() {
                let (index, len) = (ek_type.certificate_index(), der.len());
                tell(&format!(
                    "tpmssh: NV index {index:#010x} has {len} bytes that are no certificate"
                ));
            }
            certificate
        }
        None => {
            tell("tpmssh: the TPM has no certificate for this endorsement key");
            None
        }
    };
    app.out.print(&Report::new(&ek, made, certificate.as_ref()))
}

#[derive(Debug, Serialize)]
struct Report {
    #[serde(rename = "type")]
    ek_type: &'static str,
    handle: String,
    name: String,
    /// Whether it was made just now.
    made: bool,
    /// The maker's certificate, PEM.
    certificate: Option<String>,
}

impl Report {
    fn new(ek: &Ek, made: bool, certificate: Option<&EkCertificate>) -> Self {
        Self {
            ek_type: ek.ek_type.name(),
            handle: format!("{:#010x}", ek.ek_type.handle()),
            name: ek.name.to_string(),
            made,
            certificate: certificate.map(|it| pem::certificate(it.der())),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut facts = Facts::default();
        facts.add("endorsement key", self.ek_type);
        facts.add("handle", &self.handle);
        facts.add("name", &self.name);
        facts.add("state", if self.made { "made now" } else { "was there" });
        facts.add(
            "certificate",
            if self.certificate.is_some() {
                "below"
            } else {
                "none"
            },
        );
        facts.fmt(f)?;
        f.write_str(self.certificate.as_deref().unwrap_or_default())
    }
}
