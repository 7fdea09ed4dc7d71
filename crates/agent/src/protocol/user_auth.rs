//! What a signature is for, as far as the form of the data tells.

use super::{Malformed, fields};

const USERAUTH_REQUEST: u8 = 50;
/// The first bytes of data in the SSHSIG format.
const SSHSIG: &[u8] = b"SSHSIG";

/// The login that a signature is for.
///
/// # Source
///
/// RFC 4252 section 7; OpenSSH's `PROTOCOL`, `publickey-hostbound-v00@openssh.com`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserAuth<'a> {
    /// The session, which the server's key has signed.
    pub session_id: &'a [u8],
    /// Who logs in.
    pub user: &'a str,
    /// The server's key, if the client says it.
    pub host_key: Option<&'a [u8]>,
}

impl<'a> UserAuth<'a> {
    /// Reads the data of a login with `key`, and accepts nothing else.
    ///
    /// # Errors
    ///
    /// [`Malformed`] for anything else.
    pub fn decode(data: &'a [u8], key: &[u8]) -> Result<Self, Malformed> {
        let mut reader = fields(data);
        let session_id = reader.string()?;
        let is_request = reader.byte()? == USERAUTH_REQUEST;
        let user = reader.text("user")?;
        let is_ssh = reader.text("service")? == "ssh-connection";
        let method = reader.text("method")?;
        let signs = reader.byte()? == 1;
        let algorithm = reader.text("algorithm")?;
        let same_key = reader.string()? == key;
        let host_key = match method {
            "publickey" => None,
            "publickey-hostbound-v00@openssh.com" => Some(reader.string()?),
            _ => return Err(reader.malformed("not a login with a key")),
        };
        reader.finish()?;
        if !(is_request && is_ssh && signs && same_key && fits(algorithm, key)) {
            return Err(reader.malformed("not a login with this key"));
        }
        Ok(Self {
            session_id,
            user,
            host_key,
        })
    }
}

/// Whether signatures of `algorithm` are made with keys like `key`.
fn fits(algorithm: &str, key: &[u8]) -> bool {
    match fields(key).text("algorithm") {
        Ok("ssh-rsa") => matches!(algorithm, "rsa-sha2-256" | "rsa-sha2-512"),
        Ok("ssh-rsa-cert-v01@openssh.com") => matches!(
            algorithm,
            "rsa-sha2-256-cert-v01@openssh.com" | "rsa-sha2-512-cert-v01@openssh.com"
        ),
        Ok(kind) => algorithm == kind,
        Err(_) => false,
    }
}

/// What a signature is for, as far as its data tell; for people to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose<'a> {
    /// A login.
    Login(UserAuth<'a>),
    /// A file or message in the SSHSIG format, in this namespace, such as `git`.
    File(&'a str),
    /// Something else.
    Unknown,
}

impl<'a> Purpose<'a> {
    /// Looks at the data to be signed with `key`.
    #[must_use]
    pub fn of(data: &'a [u8], key: &[u8]) -> Self {
        if let Ok(auth) = UserAuth::decode(data, key) {
            return Self::Login(auth);
        }
        data.strip_prefix(SSHSIG)
            .and_then(|rest| fields(rest).text("namespace").ok())
            .map_or(Self::Unknown, Self::File)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::put_string;

    fn key() -> Vec<u8> {
        let mut key = Vec::new();
        put_string(&mut key, b"ecdsa-sha2-nistp256");
        put_string(&mut key, b"nistp256");
        key
    }

    fn login(method: &str, algorithm: &str, host_key: Option<&[u8]>) -> Vec<u8> {
        let mut data = Vec::new();
        put_string(&mut data, b"session");
        data.push(USERAUTH_REQUEST);
        for field in ["anna", "ssh-connection", method] {
            put_string(&mut data, field.as_bytes());
        }
        data.push(1);
        put_string(&mut data, algorithm.as_bytes());
        put_string(&mut data, &key());
        if let Some(host_key) = host_key {
            put_string(&mut data, host_key);
        }
        data
    }

    #[test]
    fn both_methods_are_read() {
        let plain = login("publickey", "ecdsa-sha2-nistp256", None);
        let auth = UserAuth::decode(&plain, &key()).unwrap();
        assert_eq!(
            (auth.session_id, auth.user, auth.host_key),
            (&b"session"[..], "anna", None)
        );
        let bound = "publickey-hostbound-v00@openssh.com";
        let bound = login(bound, "ecdsa-sha2-nistp256", Some(b"host"));
        let auth = UserAuth::decode(&bound, &key()).unwrap();
        assert_eq!(auth.host_key, Some(&b"host"[..]));
    }

    #[test]
    fn what_is_not_exactly_a_login_with_this_key_is_none() {
        let good = login("publickey", "ecdsa-sha2-nistp256", None);
        for len in 0..good.len() {
            assert!(UserAuth::decode(&good[..len], &key()).is_err(), "{len}");
        }
        assert!(UserAuth::decode(&[&good[..], b"x"].concat(), &key()).is_err());
        assert!(UserAuth::decode(&good, b"other").is_err());
        assert!(UserAuth::decode(&login("password", "ecdsa-sha2-nistp256", None), &key()).is_err());
        assert!(UserAuth::decode(&login("publickey", "rsa-sha2-256", None), &key()).is_err());
    }

    #[test]
    fn a_file_has_a_namespace() {
        let mut data = SSHSIG.to_vec();
        put_string(&mut data, b"git");
        assert_eq!(Purpose::of(&data, &key()), Purpose::File("git"));
        assert_eq!(Purpose::of(b"SSHSIG", &key()), Purpose::Unknown);
    }
}
