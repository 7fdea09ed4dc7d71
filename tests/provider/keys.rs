//! Keys and certificates: `pkey`, `storeutl`, `genpkey`, `req`, `x509`, and where the PIN comes from.

use super::{Checks, KEYS, Token, shown, uri};

#[test]
fn keys_are_shown_and_listed() {
    let Some(token) = Token::ours() else { return };
    token.certify();
    let mut checks = Checks::default();
    for label in KEYS {
        let import = ["cert", "import-x509", &format!("{label}.pem")];
        token.program.run(&import).ok();
        // The provider writes RSA keys in another form.
        shown(&token.openssl(&format!("pkey -in @{label} -pubout -out shown")));
        let public = shown(&token.other_openssl("pkey -pubin -in shown -pubout"));
        let expected = std::fs::read_to_string(token.file(&format!("{label}.pub"))).unwrap();
        assert_eq!(public, expected);
        for args in [
            format!("pkey -in @{label} -pubout -out 1"),
            format!("pkey -pubin -in +{label} -pubout -out 2"),
            format!("pkey -pubin -in +{label} -noout -text"),
        ] {
            checks.check(args.clone(), &[token.openssl(&args)]);
        }
        let mut store = token.command("openssl");
        store.args(["storeutl", "-noout", "-text", &uri(label, "cert")]);
        let output = store.output().unwrap();
        checks.check(format!("storeutl {label}"), std::slice::from_ref(&output));
        assert!(shown(&output).contains(&format!("CN={label}")));
        // No private key leaves, not even as a file that names it.
        assert!(
            !token
                .openssl(&format!("pkey -in @{label} -text"))
                .status
                .success()
        );
    }
    let listed = token.openssl("storeutl -noout -certs pkcs11:token=work");
    checks.check("storeutl -certs", std::slice::from_ref(&listed));
    assert!(shown(&listed).contains("Total found: 3"));
    let listed = token.openssl("storeutl -noout -keys pkcs11:token=work;type=private");
    checks.check("storeutl -keys", std::slice::from_ref(&listed));
    assert!(shown(&listed).contains("Total found: 3"));
    checks.end(14);
}

#[test]
fn requests_and_certificates_are_signed() {
    let Some(token) = Token::ours() else { return };
    token.certify();
    let mut checks = Checks::default();
    for label in KEYS {
        let verify = format!("verify -check_ss_sig -CAfile {label}.pem {label}.pem");
        checks.check(
            format!("req -x509 {label}"),
            &[token.other_openssl(&verify)],
        );
        let request = format!("req -new -subj /CN=bob -key @{label} -out request.pem");
        let both = [
            token.openssl(&request),
            token.other_openssl("req -in request.pem -verify -noout"),
        ];
        checks.check(format!("req {label}"), &both);
        let sign =
            format!("x509 -req -in request.pem -CA {label}.pem -CAkey @{label} -out issued.pem");
        let verify = format!("verify -CAfile {label}.pem issued.pem");
        let both = [token.openssl(&sign), token.other_openssl(&verify)];
        checks.check(format!("x509 -req {label}"), &both);
    }
    let pss = "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest";
    let both = [
        token.openssl(&format!(
            "req -new -subj /CN=bob -key @rsa {pss} -out request.pem"
        )),
        token.other_openssl("req -in request.pem -verify -noout"),
    ];
    checks.check("req with PSS", &both);
    checks.end(10);
}

#[test]
fn keys_are_made() {
    let Some(token) = Token::ours() else { return };
    let mut checks = Checks::default();
    token.write("data", "to be signed");
    // genpkey writes the key that it makes; with this setting it writes the URI of the key.
    let config = std::fs::read_to_string(token.file("provider.cnf")).unwrap();
    let named = "pkcs11-module-encode-provider-uri-to-pem = true\n[req]\n";
    token.write("provider.cnf", config.replace("[req]\n", named));
    for (label, how) in [
        ("made-rsa", "-algorithm RSA -pkeyopt rsa_keygen_bits:2048"),
        (
            "made-p256",
            "-algorithm EC -pkeyopt ec_paramgen_curve:P-256",
        ),
        (
            "made-p384",
            "-algorithm EC -pkeyopt ec_paramgen_curve:P-384",
        ),
    ] {
        let make = format!(
            "genpkey -propquery provider=pkcs11 {how} -pkeyopt pkcs11_uri:pkcs11:token=work;object={label}"
        );
        let sign = format!("dgst -sha256 -sign @{label} -out signature data");
        let verify = format!("dgst -sha256 -verify +{label} -signature signature data");
        let all = [&make, &sign, &verify].map(|args| token.openssl(args));
        checks.check(make, &all);
        let listed = token.program.run(&["list-objects"]).ok();
        assert!(listed.contains(label), "{listed}");
    }
    checks.end(3);
}

/// From a file that the configuration names, from one that the URI names, and from the URI itself.
#[test]
fn the_pin_comes_from_the_configuration_or_the_uri() {
    let Some(token) = Token::ours() else { return };
    let config = token.file("provider.cnf");
    let with = std::fs::read_to_string(&config).unwrap();
    let without: String = with
        .lines()
        .filter(|line| !line.starts_with("pkcs11-module-token-pin"))
        .map(|line| format!("{line}\n"))
        .collect();
    token.write("provider.cnf", without);
    token.write("data", "to be signed");
    let sign = |key: String| {
        let mut sign = token.command("openssl");
        sign.args([
            "dgst",
            "-sha256",
            "-out",
            "signature",
            "-sign",
            &key,
            "data",
        ]);
        sign.output().unwrap()
    };
    let key = uri("p256", "private");
    let pin = &token.program.pin;
    let wrong = token.program.secret("wrong", "incorrect horse");
    let mut checks = Checks::default();
    checks.check(
        "pin-source",
        &[sign(format!("{key}?pin-source=file:{pin}"))],
    );
    checks.check(
        "pin-value",
        &[sign(format!("{key}?pin-value=correct%20horse"))],
    );
    assert!(!sign(key.clone()).status.success(), "without a PIN");
    assert!(
        !sign(format!("{key}?pin-source=file:{wrong}"))
            .status
            .success()
    );
    token.write("provider.cnf", with);
    checks.check("pkcs11-module-token-pin", &[sign(key)]);
    checks.end(3);
}
