//! An identity by OpenID Connect: an ID token of the organisation's identity provider.
//!
//! The token contains a nonce that is derived from the attestation key and the key, so a stolen token cannot be used for another key. The
//! provider's public keys are in a file, or at an address from which they are fetched in the background.
//!
//! # Source
//!
//! OpenID Connect Core 1.0, sections 2 and 3.1.3.7; RFC 7515, 7517, 7518, 7519; RFC 8725 (attacks on such tokens).

mod keys;
mod remote;
mod token;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use key_proof::Request;
use serde::Deserialize;
use serde_json::Value;

use super::{check_ending, without_ending};
use crate::files::Files;

use keys::{Keys, UNKNOWN};
pub use remote::Remote;
pub(crate) use remote::keep_fetched;
use token::{Object, Token};

/// How far the clock of the provider may differ, in seconds.
const SKEW: u64 = 60;

/// An identity provider whose tokens a role accepts.
#[derive(Debug, PartialEq, Eq)]
pub struct Issuer {
    issuer: String,
    audience: String,
    /// The claim with the name, such as `preferred_username`.
    principal: String,
    /// The ending that is removed from each name.
    cut: Option<String>,
    keys: Source,
}

/// Where the provider's keys are.
#[derive(Debug, PartialEq, Eq)]
enum Source {
    File(Arc<Keys>),
    Address(Arc<Remote>),
}

/// An [`Issuer`] in the form of the policy file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IssuerFile {
    issuer: String,
    audience: String,
    /// A file, or an address of https.
    jwks: String,
    #[serde(default)]
    jwks_ca: Option<PathBuf>,
    principal: String,
    #[serde(default)]
    cut: Option<String>,
}

/// A token, and the results of the checks of its signature. Several roles may have the same provider, and each check costs as much as a renewal.
pub struct Shown {
    token: Token,
    checked: RefCell<Checked>,
}

/// For each set of keys that was tried, whether one of its keys has signed the token.
type Checked = Vec<(Arc<Keys>, Result<(), Why>)>;

/// Why a token is refused, as a sentence for its owner.
pub type Why = &'static str;

/// The refusal if no token can be checked, because the provider's keys were never fetched, or not since a day.
pub const UNAVAILABLE: Why = "the keys of the identity provider are not available now";

impl Shown {
    /// Reads a token.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Self, Why> {
        Ok(Self {
            token: Token::read(text)?,
            checked: RefCell::default(),
        })
    }

    /// Whether the token names this provider as its issuer, and the provider's audience for us.
    #[must_use]
    pub fn is_of(&self, issuer: &Issuer) -> bool {
        let claims = &self.token.claims;
        text(claims, "iss") == Some(&issuer.issuer) && is_for(claims, &issuer.audience)
    }

    /// Checks that one of `keys` has signed the token. Each set of keys is tried only once.
    fn is_signed_by(&self, keys: &Arc<Keys>) -> Result<(), Why> {
        let mut checked = self.checked.borrow_mut();
        if let Some((_, found)) = checked.iter().find(|(it, _)| it == keys) {
            return *found;
        }
        let found = keys.verify(&self.token);
        checked.push((Arc::clone(keys), found));
        found
    }
}

impl Issuer {
    /// Checks a provider of a policy, and reads its keys if they are in a file.
    ///
    /// # Errors
    ///
    /// What is wrong, as a sentence.
    pub(crate) fn read(file: IssuerFile, files: &mut dyn Files) -> Result<Self, String> {
        check_ending(file.cut.as_deref())?;
        for (word, value) in [
            ("issuer", &file.issuer),
            ("audience", &file.audience),
            ("principal", &file.principal),
        ] {
            if value.is_empty() {
                return Err(format!("{word} is empty"));
            }
        }
        let jwks = &file.jwks;
        let keys = if jwks.contains("://") {
            let roots = file.jwks_ca.as_deref().map(|path| files.read(path));
            Source::Address(Remote::at(jwks, roots.transpose()?)?)
        } else if file.jwks_ca.is_some() {
            return Err("jwks_ca is for keys at an address, and jwks is a file".to_owned());
        } else {
            let keys = Keys::read(&files.read(Path::new(jwks))?);
            Source::File(Arc::new(keys.map_err(|why| format!("{jwks}: {why}"))?))
        };
        Ok(Self {
            issuer: file.issuer,
            audience: file.audience,
            principal: file.principal,
            cut: file.cut,
            keys,
        })
    }

    /// The provider's keys, if the policy names an address for them.
    #[must_use]
    pub fn remote(&self) -> Option<&Arc<Remote>> {
        match &self.keys {
            Source::File(_) => None,
            Source::Address(remote) => Some(remote),
        }
    }

    /// Checks that the provider has signed a token. If a key is unknown, the keys at the provider's address are fetched again soon.
    fn check_signature(&self, shown: &Shown, now: u64) -> Result<(), Why> {
        let remote = match &self.keys {
            Source::File(keys) => return shown.is_signed_by(keys),
            Source::Address(remote) => remote,
        };
        let signed = shown.is_signed_by(&remote.keys(now).ok_or(UNAVAILABLE)?);
        if signed == Err(UNKNOWN) {
            remote.want();
        }
        signed
    }

    /// The name of the person in a token that is valid for `request` at `now` (seconds since 1970). Empty if the name does not have the ending that
    /// the role cuts off.
    ///
    /// # Errors
    ///
    /// Why the token is refused; [`UNAVAILABLE`] if it cannot be checked now.
    pub fn names(&self, shown: &Shown, request: &Request, now: u64) -> Result<Vec<String>, Why> {
        if !shown.is_of(self) {
            return Err("the identity token is of another issuer, or for somebody else");
        }
        self.check_signature(shown, now)?;
        let claims = &shown.token.claims;
        let (Some(expires), Some(issued)) = (time(claims, "exp")?, time(claims, "iat")?) else {
            return Err("the identity token does not say from when until when it is good");
        };
        if now >= expires.saturating_add(SKEW) {
            return Err("the identity token has expired");
        }
        let begins = time(claims, "nbf")?.unwrap_or(issued).max(issued);
        if begins > now.saturating_add(SKEW) {
            return Err("the identity token is not good yet: a clock is wrong");
        }
        let nonce = request.identity_nonce().ok();
        if nonce.is_none() || text(claims, "nonce") != nonce.as_deref() {
            return Err("the identity token was made for another key: its nonce differs");
        }
        if self.principal == "email" && claims.get("email_verified") != Some(&Value::Bool(true)) {
            return Err("the identity token does not say that its e-mail address was verified");
        }
        let Some(name) = text(claims, &self.principal) else {
            return Err("the identity token has no claim with the name of the person");
        };
        Ok(without_ending(vec![name.to_owned()], self.cut.as_deref()))
    }
}

fn text<'a>(claims: &'a Object, name: &str) -> Option<&'a str> {
    claims.get(name)?.as_str()
}

/// Whether a token is for `audience`. If it is for several, `azp` has to be `audience` too.
fn is_for(claims: &Object, audience: &str) -> bool {
    match claims.get("aud") {
        Some(Value::String(one)) => one == audience,
        Some(Value::Array(several)) => {
            let is_ours = |it: &Value| it.as_str() == Some(audience);
            let all_texts = several.iter().all(Value::is_string);
            let asked = several.len() == 1 || text(claims, "azp") == Some(audience);
            all_texts && asked && several.iter().any(is_ours)
        }
        _ => false,
    }
}

/// A time, in seconds since 1970 (RFC 7519, `NumericDate`, which may have a fraction).
fn time(claims: &Object, name: &str) -> Result<Option<u64>, Why> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    let whole = value.as_u64().or_else(|| {
        let seconds = value.as_f64()?.floor();
        let is_time = (0.0..4.0e9).contains(&seconds);
        is_time.then_some(seconds as u64)
    });
    match whole {
        Some(time) => Ok(Some(time)),
        None => Err("a time in the identity token is none"),
    }
}

#[cfg(test)]
mod tests {
    use base64ct::{Base64UrlUnpadded, Encoding};

    use super::*;

    /// A set with one key of P-256, the generator of the curve (SEC 2, section 2.4.2).
    fn keys(id: &str) -> Arc<Keys> {
        let set = format!(
            r#"{{"keys": [{{"kty": "EC", "crv": "P-256", "kid": "{id}", "x": "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY",
            "y": "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU"}}]}}"#
        );
        Arc::new(Keys::read(set.as_bytes()).unwrap())
    }

    #[test]
    fn a_signature_is_checked_once_for_all_roles_with_the_same_keys() {
        let part = |text: &str| Base64UrlUnpadded::encode_string(text.as_bytes());
        let head = part(r#"{"alg": "ES256", "kid": "a"}"#);
        let signature = Base64UrlUnpadded::encode_string(&[1; 64]);
        let token = format!("{head}.{}.{signature}", part("{}"));
        let shown = Shown::read(&token).unwrap();
        let wrong = Err("the signature of the identity token is wrong");
        for _ in 0..3 {
            // As read for each role.
            assert_eq!(shown.is_signed_by(&keys("a")), wrong);
        }
        assert_eq!(shown.checked.borrow().len(), 1);
        let unknown = Err("the identity token is signed by a key that is not known here");
        assert_eq!(shown.is_signed_by(&keys("b")), unknown);
        assert_eq!(shown.checked.borrow().len(), 2);
    }
}
