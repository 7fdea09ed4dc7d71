//! p11-kit, which shows a module to other processes, and several modules as one.

use std::{fs, process::Command};

use testing::{Home, Service};

use crate::clients::{KEYS, file, module_path, ok, openssl, write};
use crate::program::{PIN, Program};

use super::{modules_dir, needs, with_p11_kit};

/// The ids of the two keys. To sign, pkcs11-tool takes an id, not a label.
const IDS: [&str; 2] = ["51", "52"];

fn two_keys() -> Program {
    let program = Program::with_token();
    for (kind, id) in KEYS.into_iter().zip(IDS) {
        let make = ["keygen", "-t", kind, "--label", kind, "--id", id];
        let pin = ["--pin-file", &program.pin];
        program.run(&[&make[..], &pin].concat()).ok();
    }
    program
}

/// The module by which programs reach the server.
fn client_module() -> String {
    let client = format!("{}/p11-kit-client.so", modules_dir());
    needs(&client, "p11-kit");
    client
}

/// Signs with both keys by way of `module`, and verifies without it.
fn sign(program: &Program, module: &str, tool: impl Fn(&Home) -> Command) {
    let home = &program.home;
    let data = write(home, "data", "to be signed");
    let [digest, signature] = ["digest", "signature"].map(|name| file(home, name));
    openssl(
        home,
        &["dgst", "-sha256", "-binary", "-out", &digest, &data],
    );
    for (label, id) in KEYS.into_iter().zip(IDS) {
        let public = program.run(&["export", label]).ok();
        let public = write(home, "public", public);
        let mut convert = home.command("ssh-keygen");
        let public = ok(convert.args(["-e", "-m", "PKCS8", "-f", &public]));
        let public = write(home, "public.pem", public);
        let (mechanism, padding) = match label {
            "rsa" => (
                "RSA-PKCS-PSS",
                &["rsa_padding_mode:pss", "digest:sha256"][..],
            ),
            _ => ("ECDSA", &[][..]),
        };
        let mut signer = tool(home);
        signer
            .args(["--module", module, "--login", "--pin", PIN, "--sign"])
            .args(["--mechanism", mechanism, "--id", id])
            .args(["--signature-format", "openssl"])
            .args(["--input-file", &digest, "--output-file", &signature]);
        if label == "rsa" {
            signer.args(["--hash-algorithm", "SHA256", "--mgf", "MGF1-SHA256"]);
        }
        ok(&mut signer);
        let verify = ["pkeyutl", "-verify", "-pubin", "-inkey", &public];
        let files = ["-sigfile", &signature, "-in", &digest];
        let padding: Vec<_> = padding
            .iter()
            .flat_map(|option| ["-pkeyopt", *option])
            .collect();
        openssl(home, &[&verify[..], &files, &padding].concat());
        fs::remove_file(&signature).unwrap();
    }
}

#[test]
fn keys_sign_through_its_server() {
    let program = two_keys();
    let home = &program.home;
    let client = client_module();
    let socket = home.path().join("run/p11.sock");
    let mut server = home.daemon("p11-kit");
    server.args(["server", "--foreground", "--provider", &module_path()]);
    server.arg("--name").arg(&socket).arg("pkcs11:token=work");
    let _server = Service::start("p11-kit server", server, &socket);
    sign(&program, &client, |home| {
        let mut tool = home.command("pkcs11-tool");
        let address = format!("unix:path={}", socket.display());
        tool.env("P11_KIT_SERVER_ADDRESS", address);
        tool
    });
}

#[test]
fn keys_sign_through_its_proxy() {
    let program = two_keys();
    let mut pkg_config = Command::new("pkg-config");
    let proxy = ok(pkg_config.args(["--variable=proxy_module", "p11-kit-1"]));
    needs(proxy.trim(), "libp11-kit-dev");
    sign(&program, proxy.trim(), |home| {
        with_p11_kit(home, "pkcs11-tool")
    });
}
