//! The TLS certificate that a node makes itself.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::node::{Node, run, wait};

/// Runs `init` in a directory beside the node's, with the node's keys: exit code, standard output, and standard error.
fn init(node: &Node, dir: &str, options: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tpmssh-ca"));
    command.arg("--dir").arg(node.at(dir)).arg("init");
    for (option, file) in [
        ("--agent", "agent"),
        ("--user-ca", "user.pub"),
        ("--host-ca", "host.pub"),
    ] {
        command.arg(option).arg(node.at(file));
    }
    crate::node::shown(&command.args(options).output().unwrap())
}

fn openssl(dir: &Path, args: &[&str]) -> String {
    let output = run(Command::new("openssl").args(args).current_dir(dir));
    String::from_utf8(output.stdout).unwrap()
}

/// Replaces the node's certificate by one that expires after some days.
fn ends_in(dir: &Path, days: &str) {
    let name = "subjectAltName=DNS:ca.example,IP:127.0.0.1";
    let request = ["req", "-new", "-key", "tls.key", "-subj", "/CN=ca"];
    openssl(
        dir,
        &[&request[..], &["-addext", name, "-out", "csr"]].concat(),
    );
    let by = ["-CA", "tls-ca.pem", "-CAkey", "tls-ca.key"];
    let signed = ["x509", "-req", "-in", "csr", "-copy_extensions", "copy"];
    openssl(
        dir,
        &[&signed[..], &by, &["-days", days, "-out", "tls.pem"]].concat(),
    );
    let ca = fs::read_to_string(dir.join("tls-ca.pem")).unwrap();
    let own = fs::read_to_string(dir.join("tls.pem")).unwrap();
    fs::write(dir.join("tls.pem"), own + &ca).unwrap();
}

#[test]
fn init_for_other_machines_makes_a_certificate_and_prints_what_they_need() {
    let node = Node::initialised();
    let options = [
        "--audience",
        "https://ca.example/",
        "--listen",
        "0.0.0.0:8700",
    ];
    let (code, said, err) = init(&node, "open", &options);
    assert_eq!((code, err.as_str()), (0, ""));
    let dir = node.at("open");
    let sum = openssl(
        &dir,
        &[
            "x509",
            "-in",
            "tls-ca.pem",
            "-outform",
            "DER",
            "-out",
            "ca.der",
        ],
    );
    assert_eq!(sum, "");
    let sum = run(Command::new("sha256sum").arg(dir.join("ca.der")));
    let sum = String::from_utf8(sum.stdout).unwrap()[..64].to_owned();
    let end = format!(" --audience https://ca.example/ --join-token token --tls-ca-sha256 {sum}\n");
    let host = format!("sudo tpmssh host setup --enroll https://ca.example:8700/{end}");
    let person = format!("tpmssh enroll https://ca.example:8700/ -n NAME{end}");
    assert!(said.contains(&host) && said.contains(&person), "{said}");
    assert!(
        said.contains("the TLS certificate is for ca.example, until 20"),
        "{said}"
    );
    for (file, mode) in [
        ("tls-ca.key", 0o600),
        ("tls.key", 0o600),
        ("tls.pem", 0o644),
    ] {
        let meta = fs::metadata(dir.join(file)).unwrap();
        assert_eq!(meta.permissions().mode() & 0o777, mode, "{file}");
    }
    // OpenSSL checks the certificate and its purpose.
    let verify = [
        "verify",
        "-x509_strict",
        "-purpose",
        "sslserver",
        "-CAfile",
        "tls-ca.pem",
    ];
    let for_name = ["-verify_hostname", "ca.example", "tls.pem"];
    assert_eq!(
        openssl(&dir, &[&verify[..], &for_name].concat()),
        "tls.pem: OK\n"
    );

    // A second node uses the CA that is copied into its directory.
    fs::create_dir(node.at("second")).unwrap();
    fs::set_permissions(node.at("second"), fs::Permissions::from_mode(0o700)).unwrap();
    for file in ["tls-ca.pem", "tls-ca.key"] {
        fs::copy(dir.join(file), node.at("second").join(file)).unwrap();
    }
    let names = ["--tls-name", "ca2.example", "--tls-name", "::1"];
    let (code, said, err) = init(&node, "second", &[&options[..], &names].concat());
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(
        said.contains(&sum) && said.contains("is for ca2.example, ::1, until"),
        "{said}"
    );
}

#[test]
fn what_cannot_have_a_certificate_is_told() {
    let node = Node::initialised();
    let open = ["--listen", "0.0.0.0:8700", "--audience"];
    let refused = init(&node, "open", &[&open[..], &["our-ca"]].concat());
    let why = "tpmssh-ca: the audience is no URL, so name what machines reach the authority by: --tls-name NAME\n";
    assert_eq!(refused, (1, String::new(), why.to_owned()));
    let (code, _, said) = init(
        &node,
        "open",
        &[&open[..], &["our-ca", "--tls-name", "ä b"]].concat(),
    );
    assert_eq!(code, 1);
    assert!(
        said.starts_with("tpmssh-ca: ä b is no name for TLS: "),
        "{said}"
    );
    assert!(!node.at("open").join("policy.toml").exists());
    // The first node has no certificate, and the second has one that it did not make.
    let none = "tpmssh-ca: the authority has no TLS certificate: it listens at an address of this machine\n";
    assert_eq!(
        node.run(&["tls", "show"]),
        (1, String::new(), none.to_owned())
    );
    let not_own = "tpmssh-ca: the TLS certificate was not made by tpmssh-ca init: renew it as you made it, then: tpmssh-ca policy reload\n";
    assert_eq!(
        node.run(&["tls", "renew"]),
        (1, String::new(), not_own.to_owned())
    );
}

#[test]
fn a_certificate_is_renewed_by_the_same_ca_and_key() {
    let mut node = Node::initialised_with(&["--tls-name", "ca.example", "--tls-name", "127.0.0.1"]);
    let dir = node.own("");
    let read = |name: &str| fs::read_to_string(node.own(name)).unwrap();
    let kept = || ["tls-ca.pem", "tls-ca.key", "tls.key"].map(read);
    let (before, first) = (kept(), read("tls.pem"));
    let until = |node: &Node| {
        let shown: serde_json::Value =
            serde_json::from_str(&node.ok(&["tls", "show", "--json"])).unwrap();
        assert_eq!(
            shown["names"],
            serde_json::json!(["ca.example", "127.0.0.1"])
        );
        shown["until"].as_u64().unwrap()
    };
    node.ok(&["tls", "renew"]);
    assert_eq!(kept(), before);
    assert_ne!(read("tls.pem"), first);
    let normal = until(&node);
    // A certificate with more than 30 days left is kept. One with fewer is renewed by the same CA.
    let day = 24 * 3600;
    for (days, is_renewed) in [("31", false), ("29", true)] {
        ends_in(&dir, days);
        assert!(until(&node) < normal - 50 * day);
        node.serve();
        wait(|| (until(&node) > normal - day) == is_renewed);
        assert_eq!(node.terminate(), Some(0));
    }
    let read = |name: &str| fs::read_to_string(node.own(name)).unwrap();
    assert_eq!(["tls-ca.pem", "tls-ca.key", "tls.key"].map(read), before);
    // A running node uses the new certificate at once.
    node.serve();
    node.ok(&[
        "tls",
        "renew",
        "--tls-name",
        "other.example",
        "--tls-name",
        "127.0.0.1",
    ]);
    let args = [
        "s_client",
        "-connect",
        node.address(),
        "-CAfile",
        "tls-ca.pem",
    ];
    let name = ["-verify_hostname", "other.example", "-verify_return_error"];
    let mut seen = Command::new("timeout");
    seen.args(["20", "openssl"]).args(args).args(name);
    seen.current_dir(&dir).stdin(std::process::Stdio::null());
    run(&mut seen);
    let log = read_log(&node);
    assert!(log.contains("\"event\":\"reload\""), "{log}");
}

fn read_log(node: &Node) -> String {
    fs::read_to_string(node.own("audit.log")).unwrap()
}

#[test]
fn the_first_host_gets_its_token_and_lines_that_work_as_they_stand() {
    let node = Node::initialised();
    let other = "https://ca.example:8700/";
    let open = ["--audience", other, "--listen", "0.0.0.0:8700"];
    let first = ["--first-host", "web1"];
    let (code, said, err) = init(&node, "open", &[&open[..], &first].concat());
    assert_eq!((code, err.as_str()), (0, ""));
    let token = node.at("open/join-token-web1");
    let mode = fs::metadata(&token).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let secret = fs::read_to_string(&token).unwrap();
    assert!(
        secret.len() == 33 && !said.contains(secret.trim()),
        "{said}"
    );
    let bring = format!(
        "cat {} | ssh web1 'umask 077; cat > join-token'\nthen on web1:\n",
        token.display()
    );
    let enrol = "\nsudo tpmssh host setup --enroll https://ca.example:8700/ -n web1 --join-token join-token --tls-ca-sha256 ";
    assert!(said.contains(&bring) && said.contains(enrol), "{said}");

    // A certificate of a CA that the system knows, and so does the host.
    let chain = fs::read_to_string(node.at("open/tls.pem")).unwrap();
    let end = "-----END CERTIFICATE-----\n";
    let (leaf, _) = chain.split_once(end).unwrap();
    let leaf_file = node.at("leaf.pem");
    fs::write(&leaf_file, format!("{leaf}{end}")).unwrap();
    let [leaf_file, key] = [leaf_file, node.at("open/tls.key")].map(|it| it.display().to_string());
    let given = ["--tls-certificate", &leaf_file, "--tls-key", &key, "--json"];
    let (code, said, err) = init(&node, "given", &[&open[..], &first, &given].concat());
    assert_eq!((code, err.as_str()), (0, ""));
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        said["first_host"]["enroll"],
        "sudo tpmssh host setup --enroll https://ca.example:8700/ -n web1 --join-token join-token"
    );
    let (code, _, err) = init(
        &node,
        "none",
        &[&open[..], &["--first-host", "a/b"]].concat(),
    );
    let why = "tpmssh-ca: the role \"host\" makes no principals of the name \"a/b\"\n";
    assert_eq!((code, err.as_str()), (1, why));
    assert!(!node.at("none").exists());
}
