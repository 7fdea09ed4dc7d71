//! People who identify themselves with a token of an identity provider, and tokens that are wrong. The test plays the provider.

mod provider;

use std::fs;

use ca_server::identity::Rule;
use key_proof::{Identity, Kind};
use serde_json::{Value, json};

pub(crate) use provider::{
    Provider, USERNAME, claims, judge, judge_at, jwks, read_rule, read_rule_at, rule, with,
};

use crate::node::{Node, host};
use crate::software_tpm::{NOW, SoftwareTpm};
use provider::{ISSUER, base64};

#[test]
fn a_token_of_each_algorithm_names_the_person() {
    let request = SoftwareTpm::new().request();
    for algorithm in ["RS256", "ES256", "ES384"] {
        let provider = Provider::new(algorithm);
        let rule = read_rule(&jwks(&[provider.key()]), USERNAME).unwrap();
        let good = claims(&request, NOW);
        let names =
            |claims: &Value| judge(&rule, &provider.sign(&provider.head(), claims), &request);
        assert_eq!(names(&good), Ok(vec!["anna".to_owned()]), "{algorithm}");
        // Several audiences, if `azp` is the right one.
        names(&with(&good, "aud", json!(["tpmssh"]))).unwrap();
        let several = with(&good, "aud", json!(["other", "tpmssh"]));
        assert!(names(&several).is_err());
        names(&with(&several, "azp", json!("tpmssh"))).unwrap();
        // Clocks differ, and some providers write times with fractions.
        names(&with(&good, "exp", json!(NOW - 59))).unwrap();
        names(&with(&good, "iat", json!(NOW + 60))).unwrap();
        names(&with(&good, "exp", json!(NOW as f64 + 0.5))).unwrap();
        // Without a `kid`, the only key for this algorithm is used.
        let bare = provider.sign(&json!({"alg": algorithm}), &good);
        judge(&rule, &bare, &request).unwrap();
    }
}

#[test]
fn a_token_with_wrong_claims_is_refused_by_the_claim_that_is_wrong() {
    let request = SoftwareTpm::new().request();
    let provider = Provider::new("ES256");
    let rule = read_rule(&jwks(&[provider.key()]), USERNAME).unwrap();
    let good = claims(&request, NOW);
    let other = "the identity token is of another issuer, or for somebody else";
    let span = "the identity token does not say from when until when it is good";
    let expired = "the identity token has expired";
    let early = "the identity token is not good yet: a clock is wrong";
    let no_time = "a time in the identity token is none";
    let nonce = "the identity token was made for another key: its nonce differs";
    let no_name = "the identity token has no claim with the name of the person";
    for (name, value, why) in [
        ("iss", Value::Null, other),
        ("iss", json!("https://id.example.com/"), other),
        ("iss", json!([ISSUER]), other),
        ("aud", Value::Null, other),
        ("aud", json!("tpmssh2"), other),
        ("aud", json!([]), other),
        ("aud", json!(["tpmssh", 1]), other),
        ("aud", json!({"tpmssh": true}), other),
        ("exp", Value::Null, span),
        ("iat", Value::Null, span),
        ("exp", json!(NOW - 60), expired),
        ("exp", json!("4000000000"), no_time),
        ("exp", json!(-1), no_time),
        ("exp", json!(1e300), no_time),
        ("iat", json!(NOW + 61), early),
        ("nbf", json!(NOW + 61), early),
        ("nbf", json!("x"), no_time),
        ("nonce", Value::Null, nonce),
        ("nonce", json!("AAAA"), nonce),
        ("nonce", json!([]), nonce),
        ("preferred_username", Value::Null, no_name),
        ("preferred_username", json!(["anna"]), no_name),
    ] {
        let token = provider.sign(&provider.head(), &with(&good, name, value.clone()));
        assert_eq!(judge(&rule, &token, &request), Err(why), "{name} {value}");
    }
    // The nonce of another key, and of another attestation key.
    let token = provider.sign(&provider.head(), &good);
    let mut thief = SoftwareTpm::new();
    assert_eq!(judge(&rule, &token, &thief.request()), Err(nonce));
    thief.key = SoftwareTpm::new().key;
    assert_eq!(judge(&rule, &token, &thief.request()), Err(nonce));
}

#[test]
fn a_token_that_is_not_signed_by_the_provider_is_refused() {
    let request = SoftwareTpm::new().request();
    let (rsa, ec) = (Provider::new("RS256"), Provider::new("ES256"));
    let mut second = ec.key();
    second["kid"] = json!("two");
    second["x"] = Provider::new("ES256").key()["x"].clone();
    let other = Provider::new("ES256");
    let mut named_two = other.key();
    named_two["kid"] = json!("two");
    let rule = read_rule(&jwks(&[rsa.key(), ec.key(), named_two]), USERNAME).unwrap();
    let good = claims(&request, NOW);
    let judge = |token: &str| judge(&rule, token, &request);
    judge(&ec.sign(&ec.head(), &good)).unwrap();
    judge(&rsa.sign(&rsa.head(), &good)).unwrap();
    let algorithm = "the identity token is signed by another algorithm than RS256, ES256 or ES384";
    let key = "the identity token is signed by a key that is not known here";
    let signature = "the signature of the identity token is wrong";
    let malformed = "the identity token is malformed";
    // No signature, a signature with a shared secret, and other algorithms with the same keys.
    for name in [
        "none", "None", "HS256", "HS384", "RS384", "PS256", "ES512", "EdDSA", "",
    ] {
        let token = ec.sign(&json!({"alg": name, "kid": "one"}), &good);
        assert_eq!(judge(&token), Err(algorithm), "{name}");
    }
    assert_eq!(
        judge(&ec.sign(&json!({"kid": "one"}), &good)),
        Err(algorithm)
    );
    assert_eq!(
        judge(&ec.sign(&json!({"alg": ["ES256"]}), &good)),
        Err(algorithm)
    );
    for kid in ["three", "ONE", ""] {
        let token = ec.sign(&json!({"alg": "ES256", "kid": kid}), &good);
        assert_eq!(judge(&token), Err(key), "{kid}");
    }
    // Two keys could have signed it, and a key for another algorithm.
    assert_eq!(judge(&ec.sign(&json!({"alg": "ES256"}), &good)), Err(key));
    assert_eq!(
        judge(&rsa.sign(&json!({"alg": "RS256", "kid": "two"}), &good)),
        Err(key)
    );
    assert_eq!(
        judge(&ec.sign(&json!({"alg": "ES256", "kid": "two"}), &good)),
        Err(signature)
    );
    assert_eq!(judge(&other.sign(&ec.head(), &good)), Err(signature));
    assert_eq!(judge(&ec.sign(&rsa.head(), &good)), Err(signature));
    let token = ec.sign(&ec.head(), &good);
    let (signed, made) = token.rsplit_once('.').unwrap();
    let changed = with(&good, "preferred_username", json!("root")).to_string();
    let head = signed.split('.').next().unwrap();
    let forged = format!("{head}.{}.{made}", base64(changed.as_bytes()));
    assert_eq!(judge(&forged), Err(signature));
    for short in [String::new(), made[..40].to_owned(), format!("{made}AAAA")] {
        assert_eq!(
            judge(&format!("{signed}.{short}")),
            Err(signature),
            "{short}"
        );
    }
    // Tokens that cannot be parsed.
    let extension = json!({"alg": "ES256", "kid": "one", "crit": ["exp"]});
    assert_eq!(
        judge(&ec.sign(&extension, &good)),
        Err("the identity token has an extension that is not known")
    );
    let access = json!({"alg": "ES256", "kid": "one", "typ": "at+jwt"});
    assert_eq!(
        judge(&ec.sign(&access, &good)),
        Err("the token is of another type than an identity token")
    );
    let text = good.to_string();
    let twice = text.replacen('{', "{\"preferred_username\": \"root\",", 1);
    assert_eq!(
        judge(&ec.sign_text(&ec.head().to_string(), &twice)),
        Err(malformed)
    );
    let twice = "{\"alg\": \"ES256\", \"alg\": \"ES256\", \"kid\": \"one\"}";
    assert_eq!(judge(&ec.sign_text(twice, &text)), Err(malformed));
    for nonsense in [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        &signed[1..],
        &format!("{token}.x"),
        &format!("{token}="),
        "[].[].x",
    ] {
        assert_eq!(judge(nonsense), Err(malformed), "{nonsense}");
    }
    let long = format!("{token}{}", "A".repeat(17 * 1024));
    assert_eq!(
        judge(&long),
        Err("the identity token is longer than 16 KiB")
    );
    let deep = format!("{}1{}", "[".repeat(4000), "]".repeat(4000));
    assert_eq!(
        judge(&ec.sign_text(&ec.head().to_string(), &deep)),
        Err(malformed)
    );
}

#[test]
fn the_name_is_cut_only_where_the_policy_says_so_and_an_address_has_to_be_verified() {
    let request = SoftwareTpm::new().request();
    let provider = Provider::new("ES256");
    let keys = jwks(&[provider.key()]);
    let good = claims(&request, NOW);
    let sign = |claims: &Value| provider.sign(&provider.head(), claims);
    let plain = read_rule(&keys, "principal = \"email\"").unwrap();
    let unverified = Err("the identity token does not say that its e-mail address was verified");
    assert_eq!(judge(&plain, &sign(&good), &request), unverified);
    for said in [json!(false), json!("true")] {
        let claims = with(&good, "email_verified", said);
        assert_eq!(judge(&plain, &sign(&claims), &request), unverified);
    }
    let verified = with(&good, "email_verified", json!(true));
    let names = |rule: &Rule, claims: &Value| judge(rule, &sign(claims), &request).unwrap();
    assert_eq!(names(&plain, &verified), ["anna@example.com"]);
    let cut = read_rule(&keys, "principal = \"email\", cut = \"@example.com\"").unwrap();
    assert_eq!(names(&cut, &verified), ["anna"]);
    for address in [
        "anna@example.org",
        "anna@example.com.evil.org",
        "@example.com",
        "anna",
    ] {
        let claims = with(&verified, "email", json!(address));
        assert!(names(&cut, &claims).is_empty(), "{address}");
    }
}

#[test]
fn a_file_of_keys_is_read_or_refused() {
    let provider = Provider::new("ES256");
    let (good, rsa) = (provider.key(), Provider::new("RS256").key());
    let changed = |key: &Value, name: &str, value: &str| with(key, name, json!(value));
    let other = json!({"kty": "OKP", "crv": "Ed25519", "kid": "x", "x": "AAAA"});
    read_rule(&jwks(&[other.clone(), good.clone()]), USERNAME).unwrap();
    let refused = |text: &str| read_rule(text, USERNAME).unwrap_err();
    let at = "role.user.identity[0]: jwks.json: ";
    for (keys, why) in [
        (vec![], "no key for RS256, ES256 or ES384 is in it"),
        (vec![other], "no key for RS256, ES256 or ES384 is in it"),
        (
            vec![changed(&good, "use", "enc")],
            "no key for RS256, ES256 or ES384 is in it",
        ),
        (
            vec![changed(&rsa, "alg", "PS256")],
            "no key for RS256, ES256 or ES384 is in it",
        ),
        (
            vec![good.clone(), json!({"kty": "oct", "k": "AAAA"})],
            "key 2 is a secret one, which no verifier should have",
        ),
        (
            vec![changed(&good, "d", "AAAA")],
            "key 1 is a secret one, which no verifier should have",
        ),
        (
            vec![good.clone(), good.clone()],
            "two keys have the same kid, or none, and one algorithm",
        ),
        (vec![changed(&good, "x", "")], "key 1 has no good x"),
        (vec![changed(&good, "x", "+/")], "key 1 has no good x"),
        (
            vec![changed(&rsa, "n", "AQAB")],
            "key 1 is an RSA key of less than 2048 bits",
        ),
        (vec![changed(&rsa, "e", "AQABAQAB")], "key 1 has no good e"),
    ] {
        assert_eq!(refused(&jwks(&keys)), format!("{at}{why}"));
    }
    assert!(
        refused(&jwks(&[changed(&good, "x", "AAAA")])).starts_with(&format!("{at}key 1 is none: "))
    );
    assert!(refused("nonsense").starts_with(&format!("{at}it is no set of keys (JWKS): ")));
    let with_ca = read_rule("", "principal = \"x\", jwks_ca = \"ca.pem\"").unwrap_err();
    assert_eq!(
        with_ca,
        "role.user.identity[0]: jwks_ca is for keys at an address, and jwks is a file"
    );
    let plain = read_rule_at("http://id.example.com/keys", "", USERNAME).unwrap_err();
    assert_eq!(
        plain,
        "role.user.identity[0]: jwks is a file or an address such as https://id.example.com/keys, and not \"http://id.example.com/keys\""
    );
    let no_claim = read_rule(&jwks(&[good]), "principal = \"\"").unwrap_err();
    assert_eq!(no_claim, "role.user.identity[0]: principal is empty");
}

/// An enrolment with a token, over HTTP.
#[test]
fn a_person_with_a_token_gets_a_certificate_and_a_thief_of_the_token_does_not() {
    let provider = Provider::new("ES256");
    let mut node = Node::initialised();
    let keys = node.at("jwks.json");
    fs::write(&keys, jwks(&[provider.key()])).unwrap();
    let rule = rule(keys.to_str().unwrap(), USERNAME);
    node.change_policy("ttl = \"8h\"", &format!("ttl = \"8h\"\n{rule}"));
    node.serve();
    let person = || {
        let mut tpm = host("anna", "");
        tpm.kind = Kind::User;
        tpm.behind_lockout();
        tpm
    };
    let mut tpm = person();
    let claims = claims(&tpm.request(), ca_server::authority::now());
    let token = provider.sign(&provider.head(), &claims);
    tpm.identity = Identity::Oidc(token.clone());
    let mut thief = person();
    thief.identity = Identity::Oidc(token.clone());
    let why = "the identity token was made for another key: its nonce differs";
    let refused = (403, "identity".to_owned(), why.to_owned());
    assert_eq!(node.begin(&thief).refused(), refused);
    thief.ek = tpm.ek.clone();
    assert_eq!(node.begin(&thief).refused(), refused);
    thief.identity = Identity::Oidc("x".repeat(20_000));
    assert_eq!(node.begin(&thief).refused().0, 403);
    assert_eq!(node.rows("device"), 0);
    let certificate = node.enrol(&tpm).certificate();
    assert_eq!(certificate.principals(), ["anna"]);
    // A token with the nonce of the thief's key, but by another provider, is refused as well.
    let stranger = Provider::new("ES256");
    let forged = stranger.sign(
        &provider.head(),
        &self::claims(&thief.request(), ca_server::authority::now()),
    );
    thief.identity = Identity::Oidc(forged);
    let why = "the signature of the identity token is wrong";
    assert_eq!(node.begin(&thief).refused().2, why);
    let log = fs::read_to_string(node.own("audit.log")).unwrap();
    assert!(log.contains("\"identity\":\"oidc anna\""), "{log}");
    let said = node.printed();
    for part in token.split('.') {
        assert!(
            !log.contains(part) && !said.contains(part),
            "a token is shown"
        );
    }
    tpm.identity = Identity::None;
    node.renew(&tpm).certificate();
}
