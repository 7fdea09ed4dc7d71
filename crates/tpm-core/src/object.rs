//! Objects and NV indexes: made, loaded, used and kept outside of the chip.

pub(crate) mod attestation_key;
pub(crate) mod create_load;
pub(crate) mod key_blob;
pub(crate) mod nv;
pub(crate) mod ready_key;
pub(crate) mod sealed;
pub(crate) mod sealed_data;
pub(crate) mod software_key;
pub(crate) mod transient;
