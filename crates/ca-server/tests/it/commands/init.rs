//! `tpmssh-ca init`.

use std::fs;

use crate::node::{Node, shown};

#[test]
fn an_authority_is_made_once_and_says_what_comes_next() {
    let node = Node::initialised();
    let policy = node.ok(&["policy", "check"]);
    assert_eq!(
        policy,
        "the policy is good\nrole host: host, mode D, wall none, for 1d\nrole user: user, mode D, wall lockout, for 8h\n"
    );
    let (user, hosts) = (node.at("user.pub"), node.at("host.pub"));
    let init = |dir: &str, agent: &str, user: &std::path::Path| {
        let output = node
            .command(&["init", "--audience", "x", "--dir"])
            .arg(node.at(dir))
            .arg("--agent")
            .arg(node.at(agent))
            .arg("--user-ca")
            .arg(user)
            .arg("--host-ca")
            .arg(&hosts)
            .output()
            .unwrap();
        shown(&output)
    };
    let (code, _, said) = init("ca", "agent", &user);
    let already = format!(
        "tpmssh-ca: there is an authority in {} already\n",
        node.at("ca").display()
    );
    assert_eq!((code, said), (1, already));
    let (code, _, said) = init("other", "nobody", &user);
    assert_eq!(code, 1);
    assert!(
        said.starts_with(&format!("tpmssh-ca: the key in {} cannot certify: the authority's key does not sign: the agent at ", user.display())),
        "{said}"
    );
    let (code, _, said) = init("other", "agent", &hosts);
    assert_eq!(
        (code, said.as_str()),
        (
            1,
            "tpmssh-ca: ca: users and hosts need two different keys\n"
        )
    );
    assert!(
        !node.at("other").exists(),
        "a directory was made for an authority that is none"
    );
    let (code, said, _) = init("other", "agent", &user);
    assert_eq!(code, 0);
    assert!(
        said.contains("join-token new --role host --name HOST\n"),
        "{said}"
    );
}

#[test]
fn an_authority_has_its_keys_from_one_place() {
    let node = Node::initialised();
    let given = ["--user-ca", "user.pub", "--host-ca", "host.pub"];
    let with = |option: &str| format!("the argument '--make-keys' cannot be used with '{option}'");
    for (options, says) in [
        (
            &[][..],
            "<--make-keys|--user-ca <FILE>|--sealed <FILE>>".to_owned(),
        ),
        (
            &[&["--make-keys"], &given[..]].concat(),
            with("--user-ca <FILE>"),
        ),
        (&["--make-keys", "--sealed", "x"], with("--sealed <FILE>")),
        (&["--make-keys", "--agent", "x"], with("--agent <SOCKET>")),
        (&["--make-keys", "--token", "x"], with("--token <TOKEN>")),
        (
            &given,
            "the keys are in an agent or in a token: --agent SOCKET (or SSH_AUTH_SOCK), or --token TOKEN".to_owned(),
        ),
        (
            &["--make-keys", "--pin", "x"],
            with("--pin <FILE>"),
        ),
        (
            &[&given[..], &["--agent", "x", "--so-pin-out", "y"]].concat(),
            "the argument '--user-ca <FILE>' cannot be used with '--so-pin-out <FILE>'".to_owned(),
        ),
        (
            &["--sealed", "x", "--owner-auth-file", "y"],
            "the argument '--sealed <FILE>' cannot be used with '--owner-auth-file <FILE>'".to_owned(),
        ),
        (
            &[&given[..], &["--agent", "x", "--store", "y"]].concat(),
            "<--make-keys|--token <TOKEN>>".to_owned(),
        ),
        (
            &["--sealed", "x", "--store", "y"],
            "the argument '--sealed <FILE>' cannot be used with '--store <DIR>'".to_owned(),
        ),
    ] {
        let mut command = node.command(&["init", "--audience", "x"]);
        command.args(options).env_remove("SSH_AUTH_SOCK");
        let (code, _, said) = shown(&command.output().unwrap());
        assert!(code == 2 && said.contains(&says), "{options:?}: {said}");
    }
}

#[test]
fn the_keys_of_an_authority_are_in_one_place() {
    let node = Node::initialised();
    let path = node.own("policy.toml");
    let good = fs::read_to_string(&path).unwrap();
    let one = "ca: the keys are in one place: either agent, token or sealed";
    let of_token = "ca: store and pin are those of a token, and there is none";
    for (from, to, says) in [
        ("agent = ", "token = \"ca\"\nagent = ", one),
        ("agent = ", "# agent = ", one),
        ("agent = ", "sealed = \"/keys\"\nagent = ", one),
        ("agent = ", "pin = \"ca-pin\"\nagent = ", of_token),
        ("agent = ", "pin = \"ca-pin\"\nsealed = ", of_token),
    ] {
        fs::write(&path, good.replace(from, to)).unwrap();
        let says = format!("tpmssh-ca: {} is not in force: {says}\n", path.display());
        assert_eq!(node.run(&["policy", "check"]), (1, String::new(), says));
    }
}

#[test]
fn a_directory_that_others_can_look_into_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let node = Node::initialised();
    let dir = node.at("ca");
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    let says = format!(
        "tpmssh-ca: {} has to be a directory of the user that runs tpmssh-ca, mode 0700\n",
        dir.display()
    );
    assert_eq!(node.run(&["serve"]), (1, String::new(), says));
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
    if !rustix::process::geteuid().is_root() {
        return;
    }
    std::os::unix::fs::chown(&dir, Some(12345), None).unwrap();
    let says = format!(
        "tpmssh-ca: {} belongs to another user: run tpmssh-ca as that one, such as with sudo -u tpmssh-ca\n",
        dir.display()
    );
    assert_eq!(node.run(&["serve"]), (1, String::new(), says));
}
