//! The type of an endorsement key, as an option.

use clap::ValueEnum;
use tpm_core::ek::EkType;

/// The types of endorsement keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EkTypeArg {
    /// RSA with 2048 bits: nearly every TPM has a certificate for it.
    Rsa2048,
    /// On the elliptic curve P-256: the usual one on a curve.
    EccP256,
    /// On the elliptic curve P-384: the stronger one.
    EccP384,
    /// RSA with 3072 bits.
    Rsa3072,
    /// As rsa2048, but by the template of the high range.
    #[value(name = "rsa2048-high")]
    Rsa2048High,
    /// As ecc-p256, but by the template of the high range.
    #[value(name = "ecc-p256-high")]
    EccP256High,
}

impl From<EkTypeArg> for EkType {
    fn from(arg: EkTypeArg) -> Self {
        match arg {
            EkTypeArg::Rsa2048 => Self::Rsa2048,
            EkTypeArg::EccP256 => Self::EccP256,
            EkTypeArg::EccP384 => Self::EccP384,
            EkTypeArg::Rsa3072 => Self::Rsa3072,
            EkTypeArg::Rsa2048High => Self::Rsa2048High,
            EkTypeArg::EccP256High => Self::EccP256High,
        }
    }
}

impl EkTypeArg {
    /// The option's word for a type; `None` if it has none.
    pub(crate) fn word(ek_type: EkType) -> Option<String> {
        let all = Self::value_variants().iter();
        let arg = all.copied().find(|it| EkType::from(*it) == ek_type)?;
        Some(arg.to_possible_value()?.get_name().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_is_called_what_reports_call_it() {
        let names = EkTypeArg::value_variants().iter().map(|arg| {
            let value = arg.to_possible_value().expect("none is hidden");
            (value.get_name().to_owned(), EkType::from(*arg).name())
        });
        let all: Vec<_> = names.collect();
        assert_eq!(all.len(), EkType::ALL.len());
        for (arg, name) in all {
            assert_eq!(arg, name);
        }
    }
}
