//! An authority whose keys are in a token of the TPM, without an agent beside it.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use super::AUDIENCE;
use super::node::{Node, program};
use super::people::enrol;
use crate::agent::served::eventually;
use crate::program::{Outcome, Program, text};

/// A machine with the authority's keys in the token `ca`, and the key `first` of a person in another one.
struct World {
    /// Ends before the TPM of `program`.
    node: Option<Node>,
    program: Program,
    url: String,
}

impl World {
    /// A machine whose token `ca` has a PIN or not.
    fn new(has_pin: bool) -> Self {
        let program = Program::with_key();
        let so = ["--so-pin-file", &program.so_pin];
        let pin = ["--pin-file", &program.pin];
        let (wall, pin) = match has_pin {
            true => (&[][..], &pin[..]),
            false => (&["--pin-wall", "none"][..], &[][..]),
        };
        let token = ["token", "init", "--label", "ca"];
        program.run(&[&token[..], wall, &so, pin].concat()).ok();
        for label in ["user-ca", "host-ca"] {
            let key = ["ca", "init", "--token", "ca", "--label", label];
            program.run(&[&key[..], pin].concat()).ok();
            let public = program.run(&["ca", "public-key", "--ca", label]).ok();
            fs::write(program.home.path().join(label), public).unwrap();
        }
        Self {
            program,
            node: None,
            url: String::new(),
        }
    }

    fn at(&self, name: &str) -> String {
        text(self.program.home.path().join(name))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.program.home.daemon(program());
        command.arg("--dir").arg(self.at("authority")).args(args);
        command
    }

    fn run(&self, args: &[&str]) -> Outcome {
        Outcome::of(&mut self.command(args))
    }

    fn init(&self, options: &[&str]) -> Outcome {
        Outcome::of(&mut self.init_command(options))
    }

    fn init_command(&self, options: &[&str]) -> Command {
        let [user, host] = ["user-ca", "host-ca"].map(|it| self.at(it));
        let keys = ["--token", "ca", "--user-ca", &user, "--host-ca", &host];
        let listen = ["--audience", AUDIENCE, "--listen", "127.0.0.1:0"];
        self.command(&[&["init"], &listen[..], &keys, options].concat())
    }

    /// Starts the node. Its messages go to the file `log`.
    fn serve(&mut self) {
        let mut log = fs::File::create(self.at("log")).unwrap();
        let later = move |line| drop(writeln!(log, "{line}"));
        let node = Node::start(self.command(&["serve"]), later);
        self.url.clone_from(&node.url);
        self.node = Some(node);
    }

    fn token(&self) -> String {
        let token = self.run(&["join-token", "new", "--role", "user", "--name", "anna"]);
        self.program.secret("join", &token.ok())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.at("log")).unwrap()
    }
}

#[test]
fn the_tpm_signs_for_the_node_itself() {
    for has_pin in [true, false] {
        let mut world = World::new(has_pin);
        let pin = world.program.pin.clone();
        let options = if has_pin { &["--pin", &pin][..] } else { &[] };
        world.init(options).ok();
        world.serve();
        let join = world.token();
        enrol(&world.program, &world.url, &["--join-token", &join]).ok();
        let renew = ["renew", "--all", "--pin-file", &pin];
        world.program.run(&renew).ok();
        let list = world.run(&["ca", "list"]).ok();
        let places = list.lines().filter(|line| line.contains("  TPM  "));
        assert_eq!(places.count(), 2, "{list}");
    }
}

#[test]
fn a_wrong_pin_costs_one_try_however_often_the_node_is_asked() {
    let mut world = World::new(true);
    let file = world.program.secret("ca-pin", "correct horse");
    world.init(&["--pin", &file]).ok();
    fs::write(&file, "wrong").unwrap();
    world.serve();
    let join = world.token();
    for _ in 0..3 {
        let outcome = enrol(&world.program, &world.url, &["--join-token", &join]);
        assert_eq!(outcome.code, Some(10), "{outcome:?}");
    }
    // A thread of this test copies what the node prints, so it comes a moment later.
    let says = |words: &str| world.log().contains(words);
    eventually(|| says("the PIN is not tried again before the node is restarted"));
    assert!(
        says("2 tries left") && !says("1 try left"),
        "{}",
        world.log()
    );
    // With the right PIN, the node signs again.
    world.node = None;
    fs::write(&file, "correct horse\n").unwrap();
    world.serve();
    enrol(&world.program, &world.url, &["--join-token", &join]).ok();
}

/// The mode is what systemd gives the file if its directory has access control lists.
#[test]
fn a_pin_can_be_a_credential_of_systemd() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new(true);
    let dir = world.at("credentials");
    fs::create_dir(&dir).unwrap();
    let file = format!("{dir}/ca-pin");
    fs::write(&file, "correct horse\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o440)).unwrap();
    let mut init = world.init_command(&["--pin", "ca-pin"]);
    Outcome::of(init.env("CREDENTIALS_DIRECTORY", &dir)).ok();
    let policy = fs::read_to_string(world.at("authority/policy.toml")).unwrap();
    assert!(policy.contains("\npin = \"ca-pin\"\n"), "{policy}");
}

#[test]
fn what_cannot_be_is_told() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new(true);
    let user = world.at("user-ca");
    let cannot = |why: &str| {
        format!(
            "tpmssh-ca: the key in {user} cannot certify: the authority's key does not sign: the token \"ca\" does not sign: {why}\n"
        )
    };
    let file = world.program.secret("ca-pin", "correct horse");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let why = format!("others can read {file}: chmod 600");
    world.init(&["--pin", &file]).fails(1, &cannot(&why));
    let none = world.init(&["--pin", "/nowhere/pin"]);
    let why = "cannot read /nowhere/pin: No such file or directory (os error 2)";
    none.fails(1, &cannot(why));
    assert!(!Path::new(&world.at("authority/policy.toml")).exists());
    // The token does not have the other keys of the machine.
    let first = world.program.run(&["export", "first"]).ok();
    fs::write(&user, &first).unwrap();
    let outcome = world.init(&["--pin", &world.program.pin]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(
        outcome
            .stderr
            .contains("does not sign: it has no key SHA256:"),
        "{outcome:?}"
    );
}
