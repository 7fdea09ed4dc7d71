//! The keys of a provider: a JSON Web Key Set (RFC 7517).

use base64ct::{Base64UrlUnpadded, Encoding};
use serde::Deserialize;
use ssh_format::{AnyKey, Curve, PublicKey, RsaHash, Signature};

use super::Why;
use super::token::{Algorithm, Token};

/// The refusal of a token that names a key which is not in the set.
pub(super) const UNKNOWN: Why = "the identity token is signed by a key that is not known here";

/// The keys that can sign a token. Each is for one algorithm.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Keys(Vec<Key>);

#[derive(Debug, PartialEq, Eq)]
struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    /// The same key as an SSH key, because signatures are checked with the code for SSH keys.
    key: AnyKey,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<KeyFile>,
}

/// A key of the set. Other members are ignored.
#[derive(Deserialize)]
struct KeyFile {
    kty: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default, rename = "use")]
    purpose: Option<String>,
    #[serde(default)]
    alg: Option<String>,
    #[serde(default)]
    crv: Option<String>,
    #[serde(default)]
    n: Option<String>,
    #[serde(default)]
    e: Option<String>,
    #[serde(default)]
    x: Option<String>,
    #[serde(default)]
    y: Option<String>,
    #[serde(default)]
    d: Option<serde::de::IgnoredAny>,
}

impl Keys {
    /// Reads a key set. Keys for other algorithms, and those for encryption, are left out.
    ///
    /// # Errors
    ///
    /// What is wrong, as a sentence; also if no key is left, or a key is secret.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let set: KeySet = serde_json::from_slice(bytes)
            .map_err(|err| format!("it is no set of keys (JWKS): {err}"))?;
        let mut keys: Vec<Key> = Vec::new();
        for (index, file) in set.keys.into_iter().enumerate() {
            let at = |why: String| format!("key {} {why}", index + 1);
            if file.kty == "oct" || file.d.is_some() {
                return Err(at(
                    "is a secret one, which no verifier should have".to_owned()
                ));
            }
            if let Some(key) = file.key().map_err(at)? {
                keys.push(key);
            }
        }
        if keys.is_empty() {
            return Err("no key for RS256, ES256 or ES384 is in it".to_owned());
        }
        for (index, key) in keys.iter().enumerate() {
            let is_same = |it: &Key| it.id == key.id && it.algorithm == key.algorithm;
            if keys.iter().take(index).any(is_same) {
                return Err("two keys have the same kid, or none, and one algorithm".to_owned());
            }
        }
        Ok(Self(keys))
    }

    /// Checks the signature of a token with the key that it names. If it names none, there has to be only one key for its algorithm.
    pub(super) fn verify(&self, token: &Token) -> Result<(), Why> {
        let can = |it: &&Key| it.algorithm == token.algorithm;
        let mut fitting = self.0.iter().filter(can).filter(|it| match &token.key_id {
            Some(id) => it.id.as_ref() == Some(id),
            None => true,
        });
        let (Some(key), None) = (fitting.next(), fitting.next()) else {
            return Err(UNKNOWN);
        };
        let wrong = "the signature of the identity token is wrong";
        let signature = token.signature().ok_or(wrong)?;
        let signed = token.signed.as_bytes();
        key.key.verify(signature.blob(), signed).map_err(|_| wrong)
    }
}

impl Token {
    /// The signature in SSH's form (RFC 7518, sections 3.3 and 3.4).
    fn signature(&self) -> Option<Signature> {
        let curve = match self.algorithm {
            Algorithm::Rs256 => return Signature::rsa(RsaHash::Sha256, &self.signature).ok(),
            Algorithm::Es256 => Curve::NistP256,
            Algorithm::Es384 => Curve::NistP384,
        };
        if self.signature.len() != 2 * curve.field_size() {
            return None;
        }
        let (r, s) = self.signature.split_at(curve.field_size());
        Signature::ecdsa(curve, r, s).ok()
    }
}

impl KeyFile {
    /// The key; `None` if it is not for signatures with an accepted algorithm.
    fn key(self) -> Result<Option<Key>, String> {
        if self.purpose.as_deref().is_some_and(|it| it != "sig") {
            return Ok(None);
        }
        let (algorithm, curve) = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => (Algorithm::Rs256, None),
            ("EC", Some("P-256")) => (Algorithm::Es256, Some(Curve::NistP256)),
            ("EC", Some("P-384")) => (Algorithm::Es384, Some(Curve::NistP384)),
            _ => return Ok(None),
        };
        let name = match algorithm {
            Algorithm::Rs256 => "RS256",
            Algorithm::Es256 => "ES256",
            Algorithm::Es384 => "ES384",
        };
        if self.alg.as_deref().is_some_and(|it| it != name) {
            return Ok(None);
        }
        let number = |field: &Option<String>, what: &str| {
            let text = field.as_deref().unwrap_or_default();
            match Base64UrlUnpadded::decode_vec(text) {
                Ok(bytes) if !bytes.is_empty() => Ok(bytes),
                _ => Err(format!("has no good {what}")),
            }
        };
        let public = match curve {
            Some(curve) => PublicKey::ecdsa(curve, &number(&self.x, "x")?, &number(&self.y, "y")?),
            None => {
                let (n, e) = (number(&self.n, "n")?, number(&self.e, "e")?);
                if n.len() < 256 {
                    return Err("is an RSA key of less than 2048 bits".to_owned());
                }
                let digits = e.iter().try_fold(0_u32, |sum, digit| {
                    sum.checked_mul(256)?.checked_add(u32::from(*digit))
                });
                PublicKey::rsa(&n, digits.ok_or("has no good e")?)
            }
        };
        let key = public.and_then(|public| AnyKey::from_blob(public.blob()));
        Ok(Some(Key {
            id: self.kid,
            algorithm,
            key: key.map_err(|err| format!("is none: {err}"))?,
        }))
    }
}
