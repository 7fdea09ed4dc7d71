//! The errors that the program knows: their exit codes and hints.

use std::error::Error as StdError;

use token_store::Kind;

use crate::fail::advice::Advice;
use crate::fail::error::{
    AuthorityError, CertificateError, EnrolmentError, Error, HierarchyError, HostError, ProofError,
};
use crate::fail::hint;
use crate::machine::simulator;

/// The kind of the first known error in a chain of causes; [`Kind::Failed`] if none is known.
pub(crate) fn kind(err: &anyhow::Error) -> Kind {
    err.chain()
        .find_map(of)
        .map_or(Kind::Failed, |known| known.kind())
}

/// The hint of the first error in a chain of causes that has one.
pub(crate) fn hint(err: &anyhow::Error) -> Option<String> {
    err.chain().filter_map(of).find_map(Advice::hint)
}

/// `cause` as one of the known error types. A new one needs a line here.
fn of<'a>(cause: &'a (dyn StdError + 'static)) -> Option<&'a dyn Advice> {
    fn known<'a, E: Advice + StdError + 'static>(
        cause: &'a (dyn StdError + 'static),
    ) -> Option<&'a dyn Advice> {
        Some(cause.downcast_ref::<E>()?)
    }
    let types = [
        known::<token_store::Error>,
        known::<Error>,
        known::<ProofError>,
        known::<EnrolmentError>,
        known::<HostError>,
        known::<HierarchyError>,
        known::<CertificateError>,
        known::<AuthorityError>,
        known::<agent::Error>,
        known::<agent::public_files::Error>,
        known::<ssh_format::Error>,
        known::<key_proof::Error>,
        known::<enroll::Error>,
        known::<simulator::Error>,
    ];
    types.iter().find_map(|known| known(cause))
}

impl Advice for agent::public_files::Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Foreign { .. } => Kind::Failed,
            Self::Store(err) => err.kind(),
            _ => Kind::Disk,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Foreign { .. } => Some("move it away, then try again".into()),
            Self::Store(err) => hint::for_store(err),
            _ => None,
        }
    }
}

impl Advice for token_store::Error {
    fn kind(&self) -> Kind {
        self.kind()
    }

    fn hint(&self) -> Option<String> {
        hint::for_store(self)
    }
}

impl Advice for Error {
    fn kind(&self) -> Kind {
        self.kind()
    }

    fn hint(&self) -> Option<String> {
        hint::for_program(self)
    }
}

impl Advice for agent::Error {
    fn kind(&self) -> Kind {
        self.kind()
    }

    fn hint(&self) -> Option<String> {
        hint::for_agent(self)
    }
}

/// A key, certificate or signature that another program made.
impl Advice for ssh_format::Error {
    fn kind(&self) -> Kind {
        match self {
            Self::BadSignature
            | Self::HalvesDiffer
            | Self::Namespace { .. }
            | Self::UnknownCriticalOption(_) => Kind::KeyRefused,
            _ => Kind::Usage,
        }
    }
}

/// A proof, or a file of its family.
impl Advice for key_proof::Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Malformed { .. } | Self::OtherFile { .. } => Kind::Usage,
            _ => Kind::KeyRefused,
        }
    }

    fn hint(&self) -> Option<String> {
        hint::for_proof(self)
    }
}

/// An authority over the network.
impl Advice for enroll::Error {
    fn kind(&self) -> Kind {
        use enroll::Error as Enroll;
        match self {
            Enroll::BadUrl { .. } | Enroll::TlsRoots(_) => Kind::Usage,
            Enroll::NoServer { .. } => Kind::NoTpm,
            Enroll::Busy { .. } | Enroll::Pending { .. } => Kind::Busy,
            Enroll::Refused { .. }
            | Enroll::Gone
            | Enroll::NotTaken(_)
            | Enroll::BadTls { .. }
            | Enroll::OtherTls { .. } => Kind::KeyRefused,
            _ => Kind::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        hint::for_authority(self)
    }
}

impl Advice for simulator::Error {
    fn kind(&self) -> Kind {
        self.kind()
    }

    fn hint(&self) -> Option<String> {
        hint::for_simulator(self)
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn the_kind_is_found_below_what_was_said_about_it() {
        let failed = |err: anyhow::Error| kind(&err).exit_code();
        let err = Err::<(), _>(token_store::Error::PinLocked).context("cannot make a key");
        assert_eq!(failed(err.unwrap_err()), 4);
        let exposed = Error::ExposedFile {
            path: "/pin".into(),
        };
        assert_eq!(failed(exposed.into()), 9);
        assert_eq!(failed(simulator::Error::NotInstalled.into()), 5);
        assert_eq!(failed(ssh_format::Error::BadSignature.into()), 8);
        assert_eq!(failed(anyhow::anyhow!("anything else")), 1);
    }

    #[test]
    fn the_hint_of_a_cause_is_found_below_an_error_without_one() {
        let err = Err::<(), _>(token_store::Error::NoTpmConfigured)
            .context(ssh_format::Error::BadSignature)
            .context("cannot make a key");
        let alone = token_store::Error::NoTpmConfigured.into();
        assert_eq!(hint(&err.unwrap_err()), hint(&alone));
        assert!(hint(&alone).is_some());
    }
}
