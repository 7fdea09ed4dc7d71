//! Reads the join token of an authority over the network (`tpmssh-ca`).

use std::path::Path;

use crate::fail::error::EnrolmentError;
use crate::files::input_file;

/// The most bytes that are read. A join token has 32.
const MAX_LEN: usize = 256;

/// Reads a join token. The request contains it, so nobody else should see that request.
///
/// # Errors
///
/// [`EnrolmentError::NoJoinToken`], or if the file cannot be read.
pub(crate) fn read(path: &Path) -> anyhow::Result<String> {
    let bytes = input_file::read(path, MAX_LEN)?;
    let token = str::from_utf8(&bytes).map(str::trim).unwrap_or_default();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(EnrolmentError::NoJoinToken {
            path: path.to_owned(),
        }
        .into());
    }
    Ok(token.to_owned())
}
