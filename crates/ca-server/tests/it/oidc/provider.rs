//! A provider of ID tokens, and what an authority makes of them.

use std::path::Path;

use base64ct::{Base64UrlUnpadded, Encoding};
use ca_server::identity::{Rule, oidc::Shown};
use ca_server::policy::{Files, Policy};
use key_proof::{Anchors, Request};
use serde_json::{Value, json};

use crate::pair::{Hash, Pair};
use crate::software_tpm::NOW;

pub(super) const ISSUER: &str = "https://id.example.com";

/// A provider with one key.
pub(crate) struct Provider {
    algorithm: &'static str,
    pair: Pair,
}

pub(super) fn base64(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

impl Provider {
    pub(crate) fn new(algorithm: &'static str) -> Self {
        let pair = match algorithm {
            "RS256" => Pair::rsa2048(0),
            "ES256" => Pair::p256(),
            _ => Pair::p384(),
        };
        Self { algorithm, pair }
    }

    /// The public key of the provider as a JWK.
    pub(crate) fn key(&self) -> Value {
        let (kid, alg) = ("one", self.algorithm);
        if self.pair.is_rsa() {
            let n = base64(&self.pair.modulus());
            return json!({"kty": "RSA", "kid": kid, "use": "sig", "alg": alg, "n": n, "e": "AQAB"});
        }
        let (x, y) = self.pair.point();
        let crv = if alg == "ES256" { "P-256" } else { "P-384" };
        json!({"kty": "EC", "kid": kid, "crv": crv, "x": base64(&x), "y": base64(&y)})
    }

    pub(crate) fn head(&self) -> Value {
        json!({"alg": self.algorithm, "kid": "one", "typ": "JWT"})
    }

    pub(crate) fn sign(&self, head: &Value, claims: &Value) -> String {
        self.sign_text(&head.to_string(), &claims.to_string())
    }

    pub(super) fn sign_text(&self, head: &str, claims: &str) -> String {
        let signed = format!("{}.{}", base64(head.as_bytes()), base64(claims.as_bytes()));
        let hash = match self.algorithm {
            "ES384" => Hash::Sha384,
            _ => Hash::Sha256,
        };
        let signature = self.pair.sign(hash, signed.as_bytes()).concat();
        format!("{signed}.{}", base64(&signature))
    }
}

/// The claims of a token of anna for a request at the time `now`.
pub(crate) fn claims(request: &Request, now: u64) -> Value {
    json!({
        "iss": ISSUER, "aud": "tpmssh", "sub": "4711", "preferred_username": "anna", "email": "anna@example.com",
        "iat": now, "exp": now + 300, "nonce": request.identity_nonce().unwrap(),
    })
}

/// The claims with one of them changed; `null` removes it.
pub(crate) fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut changed = claims.clone();
    match value {
        Value::Null => changed.as_object_mut().unwrap().remove(name),
        value => changed
            .as_object_mut()
            .unwrap()
            .insert(name.to_owned(), value),
    };
    changed
}

pub(crate) fn rule(jwks: &str, more: &str) -> String {
    format!(
        "identity = [{{ type = \"oidc\", issuer = \"{ISSUER}\", audience = \"tpmssh\", jwks = {jwks:?}, {more} }}]"
    )
}

/// Reads a policy whose file of keys has this content.
struct Named(String);

impl Files for Named {
    fn roots(&mut self, _: &Path, _: &mut Anchors) -> Result<(), String> {
        Ok(())
    }

    fn read(&mut self, _: &Path) -> Result<Vec<u8>, String> {
        Ok(self.0.clone().into_bytes())
    }
}

pub(crate) fn read_rule(jwks: &str, more: &str) -> Result<Rule, String> {
    read_rule_at("jwks.json", jwks, more)
}

/// The rule whose keys are at `place`. Each file that it names has this content.
pub(crate) fn read_rule_at(place: &str, content: &str, more: &str) -> Result<Rule, String> {
    let key = |pair: &Pair| {
        let (x, y) = pair.point();
        let key = ssh_format::PublicKey::ecdsa(ssh_format::Curve::NistP256, &x, &y).unwrap();
        ssh_format::AnyKey::from_blob(key.blob()).unwrap().line("")
    };
    let text = format!(
        "version = 1\naudience = \"x\"\n[listen]\naddress = \"127.0.0.1:0\"\n[ca]\nagent = \"a\"\nuser = \"{}\"\nhost = \"{}\"\n\
         [role.user]\nkind = \"user\"\nmode = \"D\"\nttl = \"1h\"\nprincipals = [\"{{identity}}\"]\n{}\n",
        key(&Pair::p256()),
        key(&Pair::p256()),
        rule(place, more)
    );
    let policy =
        Policy::parse(&text, &mut Named(content.to_owned())).map_err(|err| err.to_string())?;
    Ok(policy.role("user").unwrap().identities[0].clone())
}

pub(crate) const USERNAME: &str = "principal = \"preferred_username\"";

/// The name in a token at the time `NOW`.
pub(crate) fn judge(
    rule: &Rule,
    token: &str,
    request: &Request,
) -> Result<Vec<String>, &'static str> {
    judge_at(rule, token, request, NOW)
}

pub(crate) fn judge_at(
    rule: &Rule,
    token: &str,
    request: &Request,
    now: u64,
) -> Result<Vec<String>, &'static str> {
    let Rule::Oidc(issuer) = rule else {
        panic!("another rule");
    };
    issuer.names(&Shown::read(token)?, request, now)
}

pub(crate) fn jwks(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}
