//! `tpmssh cert`: certificates beside the keys that they are for.

pub(crate) mod import_x509;
