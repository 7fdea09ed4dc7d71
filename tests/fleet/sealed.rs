//! An authority with sealed keys: they are sealed to the TPM on the disk, and in the node's memory while it runs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use testing::Home;

use super::AUDIENCE;
use super::node::{Node, program};
use super::people::enrol;
use crate::program::{Outcome, Program, text};

/// A machine with sealed keys for an authority, and the key `first` of a person.
struct World {
    /// Ends before the TPM of `program`.
    node: Option<Node>,
    program: Program,
}

impl World {
    fn new() -> Self {
        let world = Self {
            program: Program::with_key(),
            node: None,
        };
        world.run(&["ca", "seal", "--out", &world.at("keys")]).ok();
        world
    }

    fn at(&self, name: &str) -> String {
        text(self.program.home.path().join(name))
    }

    /// `tpmssh-ca` with the TPM of `home`.
    fn command(&self, home: &Home, args: &[&str]) -> Command {
        let mut command = home.daemon(program());
        command.arg("--dir").arg(self.at("authority")).args(args);
        command
    }

    fn run(&self, args: &[&str]) -> Outcome {
        Outcome::of(&mut self.command(&self.program.home, args))
    }

    fn init(&self) -> Outcome {
        let keys = self.at("keys");
        let listen = ["--audience", AUDIENCE, "--listen", "127.0.0.1:0"];
        self.run(&[&["init", "--sealed", &keys], &listen[..]].concat())
    }

    /// Starts the node. Returns its URL.
    fn serve(&mut self) -> String {
        let command = self.command(&self.program.home, &["serve"]);
        self.node.insert(Node::start(command, drop)).url.clone()
    }
}

#[test]
fn the_node_signs_with_keys_in_its_memory() {
    let mut world = World::new();
    let keys = world.at("keys");
    let mode = fs::metadata(&keys).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = world.run(&["ca", "seal", "--out", &keys]);
    again.fails(1, &format!("tpmssh-ca: {keys} is there already\n"));

    world.init().ok();
    let url = world.serve();
    let token = world.run(&["join-token", "new", "--role", "user", "--name", "anna"]);
    let join = world.program.secret("join", &token.ok());
    enrol(&world.program, &url, &["--join-token", &join]).ok();
    let renew = ["renew", "--all", "--pin-file", &world.program.pin];
    world.program.run(&renew).ok();
    let list = world.run(&["ca", "list"]).ok();
    let places = list.lines().filter(|line| line.contains("  in memory  "));
    assert_eq!(places.count(), 2, "{list}");

    // Other processes of the user cannot read the node's memory, and the keys are in locked memory: at least a page each.
    let proc = format!("/proc/{}", world.node.as_ref().unwrap().id());
    let status = fs::read_to_string(format!("{proc}/status")).unwrap();
    let locked = status.lines().find_map(|it| it.strip_prefix("VmLck:"));
    let locked = locked.unwrap().trim().trim_end_matches(" kB");
    assert!(locked.parse::<u32>().unwrap() >= 8, "{status}");
    if !rustix::process::geteuid().is_root() {
        fs::read(format!("{proc}/environ")).unwrap_err();
    }

    // Another file of keys in the policy needs a restart.
    let policy = world.at("authority/policy.toml");
    let text = fs::read_to_string(&policy).unwrap();
    let line = format!("sealed = \"{keys}\"");
    assert!(text.contains(&line), "{text}");
    fs::write(&policy, text.replace(&line, "sealed = \"/other\"")).unwrap();
    let reload = world.run(&["policy", "reload"]);
    assert_eq!(reload.code, Some(1), "{reload:?}");
    assert!(reload.stderr.contains("ca.sealed"), "{reload:?}");
}

#[test]
fn another_tpm_does_not_open_the_keys() {
    let world = World::new();
    let keys = world.at("keys");
    world.init().ok();
    let other = Program::new();
    let mut serve = world.command(&other.home, &["serve"]);
    let says = format!(
        "tpmssh-ca: the TPM does not open the keys in {keys}: this is another TPM, or it has been cleared\n"
    );
    Outcome::of(&mut serve).fails(1, &says);
    // It does not open them either with a storage root key of its own.
    other.init("work");
    let mut serve = world.command(&other.home, &["serve"]);
    Outcome::of(&mut serve).fails(1, &says);
}

#[test]
fn a_file_that_cannot_be_is_refused_with_a_reason() {
    let world = World::new();
    let keys = world.at("keys");
    let good = fs::read_to_string(&keys).unwrap();
    let private = |nth| {
        let mut lines = good
            .lines()
            .filter(|line| line.starts_with("sealed_private"));
        lines.nth(nth).unwrap()
    };
    let mut changed = private(0).to_owned();
    let at = changed.len() - 12;
    let letter = if &changed[at..=at] == "A" { "B" } else { "A" };
    changed.replace_range(at..=at, letter);
    let cannot = format!("the TPM does not open the keys in {keys}: ");
    // The two sealed private halves are exchanged.
    let user_key = good.lines().find(|line| line.starts_with("key ")).unwrap();
    let host_key = good.lines().rfind(|line| line.starts_with("key ")).unwrap();
    let swapped = good
        .replace(user_key, "@")
        .replace(host_key, user_key)
        .replace('@', host_key);
    for (text, says) in [
        (
            good.replace(private(0), &changed),
            format!("{cannot}the sealed secret does not belong to this TPM or was changed\n"),
        ),
        (
            good.replace("version = 1", "version = 2"),
            format!("{keys} is not a file of sealed keys: only version 1 is known\n"),
        ),
    ] {
        fs::write(&keys, text).unwrap();
        world.init().fails(1, &format!("tpmssh-ca: {says}"));
    }
    fs::write(&keys, swapped).unwrap();
    let outcome = world.init();
    let says = format!("tpmssh-ca: {cannot}what is sealed is not the key SHA256:");
    assert!(outcome.stderr.starts_with(&says), "{outcome:?}");
    assert_eq!(outcome.code, Some(1));

    fs::write(&keys, &good).unwrap();
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o640)).unwrap();
    let says = format!("tpmssh-ca: others can read {keys}: chmod 600\n");
    world.init().fails(1, &says);
    fs::remove_file(&keys).unwrap();
    let says = format!("tpmssh-ca: cannot read {keys}: No such file or directory (os error 2)\n");
    world.init().fails(1, &says);
    assert!(!Path::new(&world.at("authority/policy.toml")).exists());
}
