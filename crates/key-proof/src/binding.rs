//! The part of a proof that an authority stores. With it, a renewal needs no endorsement key and no challenge.

use ssh_format::AnyKey;

use crate::{Name, PublicArea};

/// One key and one attestation key that a proof has shown to be in the same TPM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The public area of the attestation key.
    pub attestation_key: PublicArea,
    /// The Qualified Name of the attestation key: where in the TPM it is.
    pub signer: Name,
    /// The key in SSH's form.
    pub ssh_key: AnyKey,
    /// The Name of the key.
    pub key: Name,
    /// The Qualified Name of the key: where in the TPM it is, and behind which wall.
    pub qualified_name: Name,
}
