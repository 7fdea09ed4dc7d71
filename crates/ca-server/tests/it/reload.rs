//! A policy that changes while the node runs.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::node::{Node, run};

const DAY: &str = "ttl = \"24h\"";

/// The last line of the audit log.
fn noted(node: &Node) -> serde_json::Value {
    let log = fs::read_to_string(node.own("audit.log")).unwrap();
    serde_json::from_str(log.lines().last().unwrap()).unwrap()
}

fn life(node: &Node, tpm: &crate::software_tpm::SoftwareTpm) -> u64 {
    let certificate = node.renew(tpm).certificate();
    certificate.valid_before() - certificate.valid_after() - 300
}

#[test]
fn a_reloaded_policy_is_for_the_next_request_and_the_log_says_which_it_is() {
    let node = Node::start();
    let start = noted(&node);
    let tpm = node.host("web1");
    assert_eq!(life(&node, &tpm), 24 * 3600);
    node.change_policy(DAY, "ttl = \"2h\"");
    assert_eq!(
        life(&node, &tpm),
        24 * 3600,
        "nobody has asked for a reload"
    );
    let said = node.ok(&["policy", "reload"]);
    assert_eq!(life(&node, &tpm), 2 * 3600);

    let log = fs::read_to_string(node.own("audit.log")).unwrap();
    let lines = log.lines().filter(|it| it.contains("\"reload\""));
    let lines: Vec<serde_json::Value> = lines.map(|it| serde_json::from_str(it).unwrap()).collect();
    assert_eq!(lines.len(), 1);
    let digest = lines[0]["sha256"].as_str().unwrap();
    let sum = run(Command::new("sha256sum").arg(node.own("policy.toml")));
    assert!(String::from_utf8_lossy(&sum.stdout).starts_with(digest));
    assert_eq!(
        said,
        format!("the policy with the SHA-256 {digest} is in force\n")
    );
    node.wait_until_printed(&said);
    let by = format!("uid {}", rustix::process::geteuid().as_raw());
    assert_eq!(lines[0]["by"], by);
    // Both policies can be told apart later.
    assert_eq!(start["event"], "start");
    assert!(start["sha256"].is_string() && start["sha256"] != digest);
    let json = node.ok(&["policy", "reload", "--json"]);
    assert_eq!(json, format!("{{\"sha256\":\"{digest}\"}}\n"));
}

#[test]
fn sighup_reloads_and_the_service_manager_hears_when_a_node_is_ready() {
    let mut node = Node::initialised();
    let socket = UnixDatagram::bind(node.at("notify")).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let told = || {
        let mut bytes = [0; 64];
        let len = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..len].to_vec()).unwrap()
    };
    let mut command = node.command(&["serve"]);
    command.env("NOTIFY_SOCKET", node.at("notify"));
    node.serve_by(&mut command);
    assert_eq!(told(), "READY=1");
    assert_eq!(node.get("/healthz").status, 200);
    let tpm = node.host("web1");
    node.change_policy(DAY, "ttl = \"3h\"");
    let pid = Pid::from_raw(node.pid().cast_signed()).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
    node.wait_until_printed("is in force\n");
    assert_eq!(life(&node, &tpm), 3 * 3600);
    assert_eq!(node.terminate(), Some(0));
    assert_eq!(told(), "STOPPING=1");
}

#[test]
fn a_wrong_policy_is_refused_whole_and_the_one_before_it_stays() {
    let node = Node::start();
    let tpm = node.host("web1");
    let file = node.own("policy.toml");
    let good = fs::read_to_string(&file).unwrap();
    let fixed = |what: &str| {
        format!(
            "{what} is another one than that of the running node, and changes only when the node is restarted"
        )
    };
    let in_file = |why: &str| format!("{} is not in force: {why}", file.display());
    let no_pem = node.at("nothing.pem");
    let tls = format!("certificate = {no_pem:?}\nkey = {no_pem:?}\n\n[ek]");
    for (from, to, why) in [
        // A good line beside the wrong one, which must not be applied either: it changes the validity of certificates.
        (
            "mode = \"D\"",
            "mode = \"A\"",
            in_file("role.host: modes A and C need the makers' certificates (ek.roots)"),
        ),
        (
            "version = 1",
            "version = 2",
            in_file("version: only version 1 is known"),
        ),
        (
            "https://ca.example/",
            "https://ca2.example/",
            fixed("audience"),
        ),
        ("127.0.0.1:0", "127.0.0.1:1", fixed("listen.address")),
        ("/agent\"", "/agent2\"", fixed("ca.agent")),
        ("", "", String::new()),
        (
            "[ek]",
            &tls,
            format!(
                "{} cannot be used for TLS: I/O error: No such file or directory (os error 2)",
                no_pem.display()
            ),
        ),
    ] {
        let (from, to, why) = if to.is_empty() {
            // The two keys are exchanged.
            let swapped = good.replace("\nuser = ", "\n@ = ");
            let swapped = swapped.replace("\nhost = ", "\nuser = ");
            (
                good.clone(),
                swapped.replace("\n@ = ", "\nhost = "),
                fixed("ca.user"),
            )
        } else {
            (from.to_owned(), to.to_owned(), why)
        };
        let bad = good.replacen(&from, &to, 1).replace(DAY, "ttl = \"2h\"");
        assert_ne!(bad, good.replace(DAY, "ttl = \"2h\""));
        fs::write(&file, bad).unwrap();
        let (code, out, err) = node.run(&["policy", "reload"]);
        let says = format!("tpmssh-ca: {why}\n");
        assert_eq!((code, out.as_str(), err.as_str()), (1, "", says.as_str()));
        let line = noted(&node);
        assert_eq!(
            (line["event"].as_str(), line["refused"].as_str()),
            (Some("reload"), Some("policy"))
        );
        let kept: String = why.chars().take(128).collect();
        assert_eq!(line["why"], kept);
        node.wait_until_printed(&format!("tpmssh-ca: nothing is reloaded: {why}\n"));
        assert_eq!(life(&node, &tpm), 24 * 3600, "{why}");
    }
    fs::write(&file, good.replace(DAY, "ttl = \"2h\"")).unwrap();
    node.ok(&["policy", "reload"]);
    assert_eq!(life(&node, &tpm), 2 * 3600);
}

/// Cached signed answers are made again with the policy in force.
#[test]
fn cached_answers_end_with_their_policy() {
    let node = Node::start();
    for path in ["/v1/ca-keys", "/v1/krl"] {
        let (first, again) = (node.get(path), node.get(path));
        assert_eq!((first.status, &first), (200, &again), "the answer is kept");
        node.ok(&["policy", "reload"]);
        // Each ECDSA signature is different, so a new signature shows a new answer.
        assert_ne!(first, node.get(path), "{path}");
    }
}

/// A second ticket key is added, and then the first one removed, as in a change on several nodes.
#[test]
fn ticket_keys_are_read_anew() {
    let node = Node::start();
    let tpm = node.host("web1");
    let keys = node.own("ticket-keys");
    let of = |digit: &str| format!("{}\n", digit.repeat(64));
    let write = |text: &str| {
        fs::write(&keys, text).unwrap();
        fs::set_permissions(&keys, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    };
    // A node without the file keeps its own key.
    let proof = node.proof(&tpm);
    node.ok(&["policy", "reload"]);
    node.finish(&proof).certificate();
    write(&of("1"));
    node.ok(&["policy", "reload"]);
    let proof = node.proof(&tpm);
    write(&(of("2") + &of("1")));
    node.ok(&["policy", "reload"]);
    node.finish(&proof).certificate();
    let proof = node.proof(&tpm);
    write(&of("1"));
    node.ok(&["policy", "reload"]);
    assert_eq!(node.finish(&proof).refused().1, "V7");
    write("x\n");
    let (code, _, said) = node.run(&["policy", "reload"]);
    let says = format!(
        "tpmssh-ca: {}, line 1: a key has 64 hexadecimal digits\n",
        keys.display()
    );
    assert_eq!((code, said), (1, says));
    node.enrol(&tpm).certificate();
}

/// A self-signed certificate for 127.0.0.1.
fn tls(dir: &Path) {
    let mut command = Command::new("openssl");
    command.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
    ]);
    command.args(["-nodes", "-subj", "/CN=ca", "-days", "2"]);
    command.args(["-addext", "subjectAltName=IP:127.0.0.1"]);
    command.arg("-keyout").arg(dir.join("tls.key"));
    run(command.arg("-out").arg(dir.join("tls.pem")));
}

#[test]
fn a_renewed_tls_certificate_is_taken_up() {
    let mut node = Node::initialised();
    tls(node.dir.path());
    let (pem, key) = (node.at("tls.pem"), node.at("tls.key"));
    node.change_policy(
        "[ek]",
        &format!("certificate = {pem:?}\nkey = {key:?}\n\n[ek]"),
    );
    // The section [listen] ends with a comment, so the lines are added there.
    node.serve();
    let fetch = |trusted: &str| {
        let mut curl = Command::new("curl");
        curl.args(["-fsS", "--max-time", "20", "--cacert"]);
        curl.arg(node.at(trusted));
        curl.arg(format!("https://{}/healthz", node.address()));
        curl.output().unwrap().status.success()
    };
    fs::copy(&pem, node.at("old.pem")).unwrap();
    assert!(fetch("old.pem"));
    tls(node.dir.path());
    assert!(
        fetch("old.pem") && !fetch("tls.pem"),
        "nobody has asked for a reload"
    );
    // Only the certificate was replaced, and does not fit the key.
    let good = fs::read(&key).unwrap();
    fs::copy(node.at("user"), &key).unwrap();
    assert_eq!(node.run(&["policy", "reload"]).0, 1);
    assert!(fetch("old.pem"));
    fs::write(&key, good).unwrap();
    node.ok(&["policy", "reload"]);
    assert!(fetch("tls.pem") && !fetch("old.pem"));
}
