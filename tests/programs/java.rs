//! Java, whose provider SunPKCS11 makes a key store of the token.

use std::process::Command;

use testing::Home;

use crate::clients::{WebServer, module_path, ok, openssl, refused, write};
use crate::program::Program;

use super::{needs, script, two_certified_keys};

/// Writes the configuration of the provider, and looks for Java.
fn configure(program: &Program) {
    needs("/usr/bin/jarsigner", "default-jdk-headless");
    let config = format!("name = tpmssh\nlibrary = {}\n", module_path());
    write(&program.home, "sun.cfg", config);
}

/// A program of Java, without the second compiler and the parallel collector: it runs too short a time for
/// them.
fn java(home: &Home, tool: &str) -> Command {
    let mut command = home.command(tool);
    for option in ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"] {
        command.arg(match tool {
            "java" => option.to_owned(),
            _ => format!("-J{option}"),
        });
    }
    command
}

/// A program of Java with the token as its key store.
fn with_token(program: &Program, tool: &str, args: &[&str]) -> Command {
    let mut command = java(&program.home, tool);
    command
        .args(args)
        .args(["-keystore", "NONE", "-storetype", "PKCS11"])
        .args(["-providerClass", "sun.security.pkcs11.SunPKCS11"])
        .args(["-providerArg", "sun.cfg", "-storepass:file", &program.pin]);
    command
}

#[test]
fn keytool_lists_the_keys_that_have_certificates() {
    let (program, _) = two_certified_keys();
    configure(&program);
    let listed = ok(&mut with_token(&program, "keytool", &["-list"]));
    for label in ["ecdsa", "rsa"] {
        assert!(
            listed.contains(&format!("{label}, PrivateKeyEntry")),
            "{listed}"
        );
    }
}

/// SunPKCS11 makes an EC pair for the session, copies both halves into the token, and puts a certificate beside
/// them. keytool makes RSA pairs in software, and our module takes no private key from outside.
#[test]
fn keytool_makes_a_key_in_the_token() {
    let program = Program::with_token();
    configure(&program);
    let make = ["-genkeypair", "-alias", "made", "-dname", "CN=made"];
    let kind = ["-keyalg", "EC", "-groupname", "secp256r1"];
    ok(&mut with_token(
        &program,
        "keytool",
        &[&make[..], &kind].concat(),
    ));
    let export = ["-exportcert", "-rfc", "-alias", "made", "-file", "made.pem"];
    ok(&mut with_token(&program, "keytool", &export));
    let verify = ["verify", "-check_ss_sig", "-CAfile", "made.pem", "made.pem"];
    assert!(openssl(&program.home, &verify).contains("OK"));
}

#[test]
fn jarsigner_signs_an_archive() {
    let (program, certified) = two_certified_keys();
    configure(&program);
    let home = &program.home;
    write(home, "content", "to be signed");
    ok(java(home, "jar").args(["cf", "unsigned.jar", "content"]));
    for (label, _) in &certified {
        let mut sign = with_token(&program, "jarsigner", &["-signedjar", "signed.jar"]);
        ok(sign.args(["unsigned.jar", label]));
        let verified = ok(java(home, "jarsigner").args(["-verify", "signed.jar"]));
        assert!(verified.contains("jar verified."), "{label}: {verified}");
        let entries = ok(java(home, "jar").args(["tf", "signed.jar"]));
        assert!(entries.contains(&format!("META-INF/{}.SF", label.to_uppercase())));
    }
    let unsigned = ok(java(home, "jarsigner").args(["-verify", "unsigned.jar"]));
    assert!(!unsigned.contains("jar verified."), "{unsigned}");
}

#[test]
fn a_tls_client_proves_its_certificate() {
    let (program, certified) = two_certified_keys();
    configure(&program);
    let home = &program.home;
    ok(java(home, "javac")
        .args(["-d", "."])
        .arg(script("TlsClient.java")));
    for (label, keys) in &certified {
        for (version, spoken) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
            let server = WebServer::start(home, &keys.authority, version);
            let mut client = java(home, "java");
            client.args([
                "-cp",
                ".",
                "TlsClient",
                "sun.cfg",
                &program.pin,
                server.certificate(),
            ]);
            client.arg(format!("https://localhost:{}/", server.port()));
            let page = ok(&mut client);
            server.assert_page(&page, &format!("CN={label}"), spoken);
        }
    }
}

#[test]
fn a_wrong_pin_opens_no_key_store() {
    let program = Program::with_key();
    configure(&program);
    let wrong = program.secret("pin", "incorrect horse");
    assert_eq!(wrong, program.pin, "it is what keytool reads");
    let printed = refused(&mut with_token(&program, "keytool", &["-list"]));
    assert!(printed.contains("load failed"), "{printed}");
    let tries = program.run(&["token", "list"]).ok();
    assert!(tries.contains("2 of 3 tries left"), "{tries}");
}
