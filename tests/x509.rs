//! X.509: requests that the chip signs, and certificates beside their keys.

use std::fs;

use crate::program::{Outcome, Program, run, text};

/// What OpenSSL makes of a request whose signature it has verified.
fn read_request(program: &Program, request: &str) -> String {
    let path = text(program.home.path().join("request.pem"));
    fs::write(&path, request).unwrap();
    let name = "esc_ctrl,utf8,sep_comma_plus";
    let args = ["req", "-in", &path, "-noout", "-text", "-nameopt", name];
    let verify = Outcome::of(program.home.command("openssl").args(args).arg("-verify"));
    // OpenSSL 3.5 says it to the standard output.
    let said = [&verify.stderr, &verify.stdout].map(|text| text.contains("verify OK"));
    assert!(said.contains(&true), "{verify:?}");
    verify.ok()
}

/// An authority, and the certificate that it makes for the request of `key`; their paths.
fn issue(program: &Program, key: &str) -> [String; 2] {
    let request = ["csr", key, "--subject", "CN=alice", "--pin-file"];
    let request = program.run(&[&request[..], &[&program.pin]].concat()).ok();
    let at = |name: &str| text(program.home.path().join(name));
    let files = ["ca.pem", "ca.key", "request.pem", "alice.pem"].map(at);
    let [authority, ca_key, request_file, certificate] = &files;
    fs::write(request_file, request).unwrap();
    let make = ["req", "-x509", "-newkey", "ec", "-nodes", "-subj", "/CN=ca"];
    let curve = ["-pkeyopt", "ec_paramgen_curve:P-256"];
    let out = ["-keyout", ca_key, "-out", authority];
    run("openssl", &[&make[..], &curve, &out].concat());
    let sign = ["x509", "-req", "-in", request_file, "-out", certificate];
    let with = ["-CA", authority, "-CAkey", ca_key];
    run("openssl", &[&sign[..], &with].concat());
    let [authority, _, _, certificate] = files;
    [authority, certificate]
}

#[test]
fn a_request_of_every_key_type_is_signed_in_the_chip() {
    let program = Program::with_token();
    for (kind, bits, signed_with) in [
        ("rsa", "2048", "sha256WithRSAEncryption"),
        ("ecdsa", "256", "ecdsa-with-SHA256"),
        ("ecdsa", "384", "ecdsa-with-SHA384"),
        ("ecdsa", "521", "ecdsa-with-SHA512"),
    ] {
        let label = format!("{kind}{bits}");
        let make = ["keygen", "-t", kind, "-b", bits, "--label", &label];
        let pin = ["--pin-file", &program.pin];
        program.run(&[&make[..], &pin].concat()).ok();
        let request = ["csr", &label, "--subject", r"CN=alïce,OU=a\,b,C=DE"];
        let names = ["--dns", "*.example.org", "--email", "alice@example.org"];
        let addresses = ["--ip", "127.0.0.1", "--ip", "::1"];
        let args = [&request[..], &names, &addresses, &pin].concat();
        let read = read_request(&program, &program.run(&args).ok());
        for line in [
            "Subject: C=DE,OU=a,b,CN=alïce",
            "DNS:*.example.org, email:alice@example.org, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1",
            &format!("Signature Algorithm: {signed_with}"),
        ] {
            assert!(read.contains(line), "{line}: {read}");
        }
    }
}

/// What openssl and certtool, which know the types and limits of X.520, say of a name.
#[test]
fn two_other_programs_read_every_form_of_a_name() {
    let program = Program::with_key();
    let long = format!("CN={}", "ä".repeat(64));
    for (subject, shown) in [
        ("CN=alice, O=Example, C=de", "C=DE,O=Example,CN=alice"),
        ("/C=DE/O=Example/CN=alice", "C=DE,O=Example,CN=alice"),
        (
            "E=alice@example.org,CN=alice,DC=example,DC=org",
            "DC=org,DC=example,CN=alice,emailAddress=alice@example.org",
        ),
        ("CN=a+UID=b,ST=x,L=y", "L=y,ST=x,CN=a+UID=b"),
        (&long, &long),
    ] {
        let args = ["csr", "first", "--subject", subject, "--pin-file"];
        let request = program.run(&[&args[..], &[&program.pin]].concat()).ok();
        let read = read_request(&program, &request);
        assert!(
            read.contains(&format!("Subject: {shown}\n")),
            "{subject}: {read}"
        );
        let path = text(program.home.path().join("request.pem"));
        let mut certtool = program.home.command("certtool");
        let read = Outcome::of(certtool.args(["--crq-info", "--infile", &path]));
        assert!(!read.stderr.to_lowercase().contains("error"), "{read:?}");
        let read = read.ok();
        assert!(read.contains("Self signature: verified"), "{read}");
    }
}

#[test]
fn a_request_without_other_names_asks_for_none_and_is_one_field_of_json() {
    let program = Program::with_key();
    let args = ["--json", "csr", "first", "--subject", "CN=alice"];
    let printed = program
        .run(&[&args[..], &["--pin-file", &program.pin]].concat())
        .ok();
    let json: serde_json::Value = serde_json::from_str(&printed).unwrap();
    let read = read_request(&program, json["request"].as_str().unwrap());
    assert!(read.contains("Subject: CN=alice\n"), "{read}");
    assert!(!read.contains("Alternative Name"), "{read}");
}

#[test]
fn a_request_that_cannot_be_made_says_why() {
    let program = Program::with_key();
    for (option, value, why) in [
        (
            "--subject",
            "alice",
            "it is a name such as CN=alice,O=Example",
        ),
        (
            "--dns",
            "a b",
            "it is a host name in ASCII letters, digits, hyphens and dots",
        ),
        (
            "--email",
            "alice",
            "it is a mail address such as alice@example.org",
        ),
    ] {
        let outcome = program.run(&["csr", "first", option, value]);
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        assert!(outcome.stderr.contains(why), "{outcome:?}");
    }
    program
        .run(&["csr", "other", "--subject", "CN=alice"])
        .fails(
            12,
            "tpmssh: no key \"other\"\nhint: tpmssh list shows what there is\n",
        );
    let wrong = program.secret("wrong", "incorrect horse");
    let args = [
        "csr",
        "first",
        "--subject",
        "CN=alice",
        "--pin-file",
        &wrong,
    ];
    let outcome = program.run(&args);
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
}

#[test]
fn a_public_key_alone_makes_no_request() {
    let program = Program::with_token();
    let key = text(program.home.path().join("public.der"));
    let private = text(program.home.path().join("private.pem"));
    let curve = ["-pkeyopt", "ec_paramgen_curve:P-256", "-out", &private];
    run(
        "openssl",
        &[&["genpkey", "-algorithm", "EC"], &curve[..]].concat(),
    );
    let convert = ["pkey", "-in", &private, "-pubout", "-outform", "DER"];
    run("openssl", &[&convert[..], &["-out", &key]].concat());
    let mut write = program.home.command("pkcs11-tool");
    write
        .arg("--module")
        .arg(testing::module())
        .args(["--login", "--pin", crate::program::PIN, "--label", "p"])
        .args(["--write-object", &key, "--type", "pubkey"]);
    Outcome::of(&mut write).ok();
    program.run(&["csr", "p", "--subject", "CN=alice"]).fails(
        2,
        "tpmssh: the private half of key \"p\" is not here\n\
         hint: tpmssh keygen makes a key that can sign\n",
    );
}

#[test]
fn a_certificate_gets_the_id_of_its_key() {
    let program = Program::with_key();
    program.keygen("second");
    let [authority, certificate] = issue(&program, "second");
    let printed = program.run(&["cert", "import-x509", &certificate]).ok();
    let facts: Vec<_> = printed.lines().collect();
    let [head, subject, issuer, key, id] = facts[..] else {
        panic!("{printed}");
    };
    assert_eq!(head, "certificate \"second\"");
    assert_eq!(subject, "subject  CN=alice");
    assert_eq!(issuer, "issuer   CN=ca");
    assert_eq!(key, "key      second");
    let id = id.trim_start_matches("id ").trim();
    let objects = program.run(&["list", "-l"]).ok();
    assert_eq!(
        objects.matches(id).count(),
        2,
        "key and certificate: {objects}"
    );

    // A PEM chain, with the authority first and text around it; and the certificate in DER. Neither is added
    // again.
    let chain = text(program.home.path().join("chain.pem"));
    let [authority, pem] = [&authority, &certificate].map(|path| fs::read_to_string(path).unwrap());
    fs::write(&chain, format!("authority\n{authority}alice\r\n{pem}")).unwrap();
    let der = text(program.home.path().join("alice.der"));
    let convert = ["x509", "-in", &certificate, "-outform", "DER", "-out", &der];
    run("openssl", &convert);
    // The other forms in which authorities hand them out.
    let at = |name: &str| text(program.home.path().join(name));
    let [p7b, p7b_der, trusted, old, windows] =
        ["a.p7b", "der.p7b", "trusted.pem", "old.pem", "windows.p7b"].map(at);
    let pkcs7 = ["crl2pkcs7", "-nocrl", "-certfile", &chain, "-out"];
    run("openssl", &[&pkcs7[..], &[&p7b]].concat());
    run(
        "openssl",
        &[&pkcs7[..], &[&p7b_der, "-outform", "DER"]].concat(),
    );
    let trust = [
        "x509",
        "-in",
        &certificate,
        "-addtrust",
        "clientAuth",
        "-out",
    ];
    run("openssl", &[&trust[..], &[&trusted]].concat());
    assert!(fs::read_to_string(&trusted).unwrap().contains("TRUSTED"));
    fs::write(&old, pem.replace(" CERTIFICATE", " X509 CERTIFICATE")).unwrap();
    let pkcs7 = fs::read_to_string(&p7b).unwrap();
    fs::write(
        &windows,
        pkcs7
            .replace(" PKCS7", " CERTIFICATE")
            .replace('\n', "\r\n"),
    )
    .unwrap();
    for file in [&chain, &der, &p7b, &p7b_der, &trusted, &old, &windows] {
        let again = program.run(&["cert", "import-x509", file]);
        assert_eq!(again.stderr, "tpmssh: this certificate is there already\n");
        assert_eq!(again.ok(), printed);
    }
    let objects = program.run(&["list-objects"]).ok();
    assert_eq!(objects.matches("certificate").count(), 1, "{objects}");

    // The object's attributes are those of the certificate.
    let mut read = program.home.command("pkcs11-tool");
    let back = text(program.home.path().join("back.der"));
    read.arg("--module")
        .arg(testing::module())
        .args(["--read-object", "--type", "cert"]);
    Outcome::of(read.args(["--id", id, "--output-file", &back])).ok();
    assert_eq!(fs::read(&back).unwrap(), fs::read(&der).unwrap());
}

#[test]
fn a_certificate_from_stdin_gets_the_label_that_is_asked_for() {
    let program = Program::with_key();
    let [_, certificate] = issue(&program, "first");
    let args = ["--json", "cert", "import-x509", "-", "--label", "mine"];
    let printed = program
        .run_with_input(&args, &fs::read(&certificate).unwrap())
        .ok();
    let json: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(json["label"], "mine");
    assert_eq!(json["key"], "first");
    assert_eq!(json["subject"], "CN=alice");
}

#[test]
fn a_certificate_that_cannot_be_kept_says_why() {
    let program = Program::with_key();
    let [authority, _] = issue(&program, "first");
    program.run(&["cert", "import-x509", &authority]).fails(
        1,
        &format!(
            "tpmssh: no key here is the one that the certificate in {authority} is for\n\
             hint: make the request for a certificate with: tpmssh csr\n"
        ),
    );
    for garbage in [
        &b""[..],
        b"-----BEGIN CERTIFICATE-----\nAAAA\n",
        &[0x30; 999],
    ] {
        program
            .run_with_input(&["cert", "import-x509", "-"], garbage)
            .fails(
                2,
                "tpmssh: no X.509 certificate in stdin\n\
             hint: it takes PEM, DER and PKCS#7 (.p7b); tpmssh cert add takes SSH certificates\n",
            );
    }
    program
        .run_with_input(&["cert", "import-x509", "-"], &vec![b'x'; 300 * 1024])
        .fails(
            2,
            "tpmssh: too much to read from stdin: at most 256 KiB are taken\n",
        );
    program.run(&["cert", "import-x509", "nothing"]).fails(
        1,
        "tpmssh: cannot read nothing: No such file or directory (os error 2)\n",
    );
}
