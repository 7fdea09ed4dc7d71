//! The encoding of a token: three parts in base64. The first two are JSON.

use std::collections::BTreeMap;
use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;

use super::Why;

/// The longest token that is read, in bytes.
const MAX_LEN: usize = 16 * 1024;

/// The algorithms that are accepted. `none` and those with a shared secret (HS256) are not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Es256,
    Es384,
}

/// A signed token (RFC 7515, section 7.1). Nothing of it is checked yet.
pub(super) struct Token {
    pub(super) algorithm: Algorithm,
    /// The id of the key that has signed, if the token names it.
    pub(super) key_id: Option<String>,
    pub(super) claims: Object,
    /// The text that is signed: the first two parts.
    pub(super) signed: String,
    pub(super) signature: Vec<u8>,
}

/// A JSON object without repeated names.
pub(super) struct Object(BTreeMap<String, Value>);

impl Object {
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }
}

impl Token {
    pub(super) fn read(text: &str) -> Result<Self, Why> {
        const NONE: Why = "the identity token is malformed";
        if text.len() > MAX_LEN {
            return Err("the identity token is longer than 16 KiB");
        }
        let mut parts = text.split('.');
        let (Some(head), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NONE);
        };
        let signed = format!("{head}.{claims}");
        let bytes = |part: &str| Base64UrlUnpadded::decode_vec(part).map_err(|_| NONE);
        let object = |part: &str| -> Result<Object, Why> {
            serde_json::from_slice(&bytes(part)?).map_err(|_| NONE)
        };
        let head = object(head)?;
        // `crit` lists extensions that a reader must understand (RFC 7515, section 4.1.11). None is known here.
        if head.get("crit").is_some() {
            return Err("the identity token has an extension that is not known");
        }
        let is_jwt = |kind: &Value| {
            kind.as_str()
                .is_some_and(|it| it.eq_ignore_ascii_case("JWT"))
        };
        if head.get("typ").is_some_and(|kind| !is_jwt(kind)) {
            return Err("the token is of another type than an identity token");
        }
        let algorithm = match head.get("alg").and_then(Value::as_str) {
            Some("RS256") => Algorithm::Rs256,
            Some("ES256") => Algorithm::Es256,
            Some("ES384") => Algorithm::Es384,
            _ => {
                return Err(
                    "the identity token is signed by another algorithm than RS256, ES256 or ES384",
                );
            }
        };
        let key_id = match head.get("kid") {
            None => None,
            Some(Value::String(id)) => Some(id.clone()),
            Some(_) => return Err(NONE),
        };
        Ok(Self {
            algorithm,
            key_id,
            claims: object(claims)?,
            signed,
            signature: bytes(signature)?,
        })
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Once;
        impl<'de> Visitor<'de> for Once {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut all = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    // With a repeated name, two parsers may read different values.
                    if all.insert(name, value).is_some() {
                        return Err(A::Error::custom("a name stands twice"));
                    }
                }
                Ok(Object(all))
            }
        }
        from.deserialize_map(Once)
    }
}
