//! The command line: what it prints, its errors and exit codes.

mod init;

use std::fs;

use crate::node::{Node, host};

/// The files that packages install. The pages are in section 8, because `tpmssh ca` has pages in section 1.
#[test]
fn each_command_has_a_manual_page_and_is_completed() {
    let node = Node::initialised();
    let pages = node.at("pages");
    fs::create_dir(&pages).unwrap();
    node.ok(&["man", pages.to_str().unwrap()]);
    for command in ["", "-init", "-serve", "-device-revoke", "-audit-verify"] {
        let page = fs::read_to_string(pages.join(format!("tpmssh-ca{command}.8"))).unwrap();
        assert!(
            page.contains(".TH tpmssh-ca") && page.contains("SYNOPSIS"),
            "{page}"
        );
    }
    assert!(!pages.join("tpmssh-ca-man.8").exists());
    let (code, _, said) = node.run(&["man", node.at("nowhere").to_str().unwrap()]);
    let says = format!("tpmssh-ca: cannot write {}", node.at("nowhere").display());
    assert!(code == 1 && said.starts_with(&says), "{said}");
    for (shell, has) in [
        ("bash", "complete -F _tpmssh__ca"),
        ("zsh", "#compdef tpmssh-ca"),
        ("fish", "complete -c tpmssh-ca"),
    ] {
        let script = node.ok(&["completions", shell]);
        assert!(script.contains(has) && script.contains("revoke"), "{shell}");
    }
}

#[test]
fn without_a_node_the_administrator_is_told_so() {
    let node = Node::initialised();
    let socket = node.own("admin.sock");
    let says = format!(
        "tpmssh-ca: no node runs here (tpmssh-ca serve): {}: ",
        socket.display()
    );
    for args in [
        &["device", "list"][..],
        &["device", "approve", "1"],
        &["join-token", "new", "--role", "host", "--name", "x"],
    ] {
        let (code, _, said) = node.run(args);
        assert!(code == 1 && said.starts_with(&says), "{said}");
    }
}

#[test]
fn what_an_administrator_gets_wrong_is_said() {
    let node = Node::start();
    let mut file = node.at("devices");
    for (args, code, says) in [
        (
            &["device", "approve", "7"][..],
            1,
            "no key waits for approval under number 7",
        ),
        (&["device", "revoke", "7"], 1, "there is no device 7"),
        (
            &["join-token", "new", "--role", "none", "--name", "x"],
            1,
            "there is no role \"none\" in the policy",
        ),
        (
            &["join-token", "new", "--role", "host", "--name", "a b"],
            1,
            "the role \"host\" makes no principals of the name \"a b\"",
        ),
        (
            &["join-token", "new", "--role", "user", "--name", "root"],
            1,
            "the role \"user\" makes no principals of the name \"root\"",
        ),
        (
            &["serve"],
            1,
            &format!(
                "another node runs here: {}",
                node.own("admin.sock").display()
            ),
        ),
    ] {
        assert_eq!(
            node.run(args),
            (code, String::new(), format!("tpmssh-ca: {says}\n"))
        );
    }
    for (content, says) in [
        (
            "000b,web1,host",
            "nothing is imported: line 1: it is neither JSON nor the head of CSV, ek_name,name,role: ek_name or ek_certificate has to be there once",
        ),
        (
            "{}",
            "nothing is imported: line 1: missing field `ek_name` at line 1 column 2",
        ),
        (
            "\n{\"ek_name\":\"00\",\"role\":\"host\",\"name\":\"x\"}",
            "nothing is imported: device 1: malformed Name: ",
        ),
    ] {
        fs::write(&file, content).unwrap();
        let (code, _, said) = node.run(&["device", "import", file.to_str().unwrap()]);
        assert!(
            code == 1 && said.starts_with(&format!("tpmssh-ca: {says}")),
            "{said}"
        );
    }
    file.set_extension("none");
    let (code, _, said) = node.run(&["device", "import", file.to_str().unwrap()]);
    assert!(
        code == 1 && said.starts_with("tpmssh-ca: cannot read "),
        "{said}"
    );
    let (code, _, said) = node.run(&[
        "join-token",
        "new",
        "--role",
        "host",
        "--name",
        "x",
        "--expires-in",
        "1y",
    ]);
    assert!(
        code == 2 && said.contains("is no span of time, such as 30m, 24h or 7d"),
        "{said}"
    );
    assert_eq!(node.rows("device") + node.rows("join_token"), 0);
}

/// Either all machines of a file are imported, or none.
#[test]
fn an_import_with_a_revoked_machine_takes_none() {
    let node = Node::start();
    let tpm = node.host("web1");
    node.ok(&["device", "revoke", "1"]);
    let other = crate::software_tpm::ek_name(&host("web2", ""));
    let revoked = crate::software_tpm::ek_name(&tpm);
    let line = |ek: &key_proof::Name, name: &str| {
        format!("{{\"ek_name\":\"{ek}\",\"role\":\"host\",\"name\":\"{name}\"}}\n")
    };
    let file = node.at("devices");
    fs::write(&file, line(&other, "web2") + &line(&revoked, "web1")).unwrap();
    let (code, _, said) = node.run(&["device", "import", file.to_str().unwrap()]);
    let says = format!(
        "tpmssh-ca: nothing is imported: TPM {revoked} is revoked, or has role host under another name than web1\n"
    );
    assert_eq!((code, said), (1, says));
    assert_eq!(node.rows("device"), 1);
}

#[test]
fn a_policy_with_a_mistake_is_refused_whole() {
    let node = Node::initialised();
    let path = node.own("policy.toml");
    let good = fs::read_to_string(&path).unwrap();
    fs::write(&path, good.replace("ttl = \"8h\"", "ttl = \"8 hours\"")).unwrap();
    let says = format!(
        "tpmssh-ca: {} is not in force: role.user: ttl: \"8 hours\" is no span of time, such as 30m, 24h or 7d\n",
        path.display()
    );
    for args in [&["policy", "check"][..], &["serve"]] {
        assert_eq!(node.run(args), (1, String::new(), says.clone()));
    }
}

#[test]
fn join_tokens_are_made_for_many_listed_and_withdrawn() {
    let node = Node::start();
    let names = node.at("names");
    fs::write(&names, "# two machines\nweb1\n\n  web2\n").unwrap();
    let file = names.to_str().unwrap();
    let made = node.ok(&["join-token", "new", "--role", "host", "--names", file]);
    let tokens: Vec<(&str, &str)> = made.lines().map(|it| it.split_once(' ').unwrap()).collect();
    assert_eq!([tokens[0].0, tokens[1].0], ["web1", "web2"]);
    let anna = [
        "join-token",
        "new",
        "--role",
        "user",
        "--name",
        "anna",
        "--uses",
        "3",
        "--expires-in",
        "1h",
        "--json",
    ];
    let json: serde_json::Value = serde_json::from_str(&node.ok(&anna)).unwrap();
    let id = json["id"].as_str().unwrap();
    let list = node.ok(&["join-token", "list"]);
    let lines: Vec<&str> = list.lines().collect();
    assert!(
        lines[0].starts_with("id            role  name  uses left  until"),
        "{list}"
    );
    assert!(
        lines[1].starts_with(&format!("{id}  user  anna  3 ")),
        "{list}"
    );
    assert_eq!(lines.len(), 4);
    assert!(!list.contains(tokens[0].1) && !list.contains(json["token"].as_str().unwrap()));
    node.enrol(&host("web1", tokens[0].1)).certificate();
    let said = node.ok(&["join-token", "revoke", id]);
    assert_eq!(said, format!("join token {id} lets nobody in any more\n"));
    assert_eq!(node.ok(&["join-token", "list"]).lines().count(), 2);
    let mut person = host("anna", json["token"].as_str().unwrap());
    person.kind = key_proof::Kind::User;
    assert_eq!(node.begin(&person).refused().1, "join-token");
    let none = format!("tpmssh-ca: no join token {id:?} is good (tpmssh-ca join-token list)\n");
    assert_eq!(
        node.run(&["join-token", "revoke", id]),
        (1, String::new(), none)
    );
    // Either all tokens are made, or none.
    fs::write(&names, "web3\nweb 4\n").unwrap();
    let why = "tpmssh-ca: the role \"host\" makes no principals of the name \"web 4\"\n";
    let refused = node.run(&["join-token", "new", "--role", "host", "--names", file]);
    assert_eq!(refused, (1, String::new(), why.to_owned()));
    fs::write(&names, "\n").unwrap();
    let why = "tpmssh-ca: one to 1000 names are taken at once\n";
    let refused = node.run(&["join-token", "new", "--role", "host", "--names", file]);
    assert_eq!(refused, (1, String::new(), why.to_owned()));
    assert_eq!(node.ok(&["join-token", "list"]).lines().count(), 2);
    let log = fs::read_to_string(node.own("audit.log")).unwrap();
    assert!(
        log.contains("\"event\":\"join-token-revoke\"") && log.contains("\"uses\":\"3\""),
        "{log}"
    );
}

#[test]
fn machines_are_expected_by_csv_as_well() {
    let node = Node::start_with("mode = \"D\"\n# The weakest", "mode = \"B\"\n# The weakest");
    let tpm = host("web1", "");
    let ek = crate::software_tpm::ek_name(&tpm);
    let file = node.at("devices.csv");
    fs::write(&file, format!("ek_name,hostname,role\n{ek},web1,host\n")).unwrap();
    let said = node.ok(&["device", "import", file.to_str().unwrap()]);
    assert_eq!(said, "1 machines are expected\n");
    let certificate = node.enrol(&tpm).certificate();
    assert!(certificate.key_id().contains("mode=B"), "{certificate:?}");
}

/// A join token is in no log, no error and no file, also not in the registry.
#[test]
fn a_join_token_is_kept_nowhere_and_the_log_shows_what_happened() {
    let mut node = Node::start();
    let token = node.token("host", "web1");
    let tpm = host("web1", &token);
    node.enrol(&tpm).certificate();
    let used = node.begin(&host("web1", &token));
    assert!(!String::from_utf8_lossy(&used.body).contains(&token));
    let mut hostile = host("web1", &token);
    hostile.principals = vec!["\n\u{1b}]0;x\u{7}".repeat(50)];
    node.begin(&hostile);
    // The text of this refusal quotes the request.
    let torn = format!("{{\"format\":\"tpmssh-request-v1\",\"identity\":\"{token}\"}}");
    for path in ["/v1/enroll/begin", "/v1/renew"] {
        assert_eq!(node.post(path, torn.as_bytes()).refused().0, 400);
    }
    node.ok(&["device", "revoke", "1"]);
    assert_eq!(node.terminate(), Some(0));
    for entry in fs::read_dir(node.at("ca")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap_or_default();
        let found = bytes.windows(token.len()).any(|it| it == token.as_bytes());
        assert!(!found, "the token is in {}", path.display());
    }
    let log = fs::read_to_string(node.own("audit.log")).unwrap();
    let events: Vec<String> = log
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let refused = line["refused"].as_str().unwrap_or_default();
            format!("{} {refused}", line["event"].as_str().unwrap())
        })
        .collect();
    let expected = [
        "init ",
        "start ",
        "join-token ",
        "enrol ",
        "begin join-token",
        "begin join-token",
        "revoke-key ",
        "revoke ",
        "stop ",
    ];
    assert_eq!(events, expected);
    assert!(!log.contains('\u{1b}'));
    assert!(
        node.ok(&["audit", "verify"])
            .starts_with("9 lines, each follows from the one before it; ")
    );
    fs::write(node.own("audit.log"), log.replacen("web1", "web2", 1)).unwrap();
    let broken = "tpmssh-ca: line 4 of the audit log does not follow from the one before it\n";
    assert_eq!(
        node.run(&["audit", "verify"]),
        (1, String::new(), broken.to_owned())
    );
    assert_eq!(node.run(&["serve"]), (1, String::new(), broken.to_owned()));
}

#[test]
fn json_is_printed_for_programs() {
    let node = Node::start();
    node.host("web1");
    let list: serde_json::Value =
        serde_json::from_str(&node.ok(&["device", "list", "--json"])).unwrap();
    assert_eq!(
        (list[0]["name"].as_str(), list[0]["state"].as_str()),
        (Some("web1"), Some("active"))
    );
    assert!(list[0]["valid_until"].as_u64() > list[0]["last_seen"].as_u64());
    let check: serde_json::Value =
        serde_json::from_str(&node.ok(&["policy", "check", "--json"])).unwrap();
    assert_eq!(check["roles"][0]["ttl"], 86400);
}
