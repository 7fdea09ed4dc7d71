//! An authority whose keys `tpmssh-ca init` makes, from nothing to the first host.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;
use std::process::{Command, Stdio};

use rusqlite::{Connection, TransactionBehavior};
use rustix::fs::{FlockOperation, flock};
use serde_json::Value;
use testing::{Fault, Postgres, Tap, When};
use tpm_core::{PinCounter, Tpm};

use super::AUDIENCE;
use super::authority::prepare;
use super::hosts::machine;
use super::node::{Node, program};
use crate::agent::served::eventually;
use crate::host::Machine;
use crate::program::{Outcome, Program, run, text};

/// A machine that is to be an authority.
struct World {
    /// Ends before the TPM of `program`.
    node: Option<Node>,
    program: Program,
}

impl World {
    fn new() -> Self {
        Self::on(Program::new())
    }

    fn on(program: Program) -> Self {
        Self {
            program,
            node: None,
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

    fn init_command(&self, options: &[&str]) -> Command {
        let init = ["init", "--make-keys", "--audience", AUDIENCE];
        let listen = ["--listen", "127.0.0.1:0"];
        self.command(&[&init[..], &listen, options].concat())
    }

    fn init(&self, options: &[&str]) -> Outcome {
        Outcome::of(&mut self.init_command(options))
    }

    /// Starts the node. Returns its address.
    fn serve(&mut self) -> String {
        let node = self
            .node
            .insert(Node::start(self.command(&["serve"]), drop));
        let address = node.url.strip_prefix("http://");
        address.unwrap().trim_end_matches('/').to_owned()
    }

    /// `tpmssh` with the store of the authority.
    fn tpmssh(&self, args: &[&str]) -> Outcome {
        let mut command = self.program.command();
        command.env("TPMSSH_STORE", self.at("authority/keys"));
        Outcome::of(command.args(args))
    }

    /// The files in the authority's directory.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.at("authority")).unwrap();
        let mut names: Vec<_> = entries
            .map(|it| it.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// How many PIN counters the TPM has.
    fn counters(&self) -> usize {
        let tpm = Tpm::new(self.program.swtpm.tcti().parse().unwrap());
        let op = tpm.begin().unwrap();
        PinCounter::list(&op).unwrap().len()
    }
}

fn mode(path: &str) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

#[test]
fn two_commands_make_an_authority_and_a_third_brings_a_host_in() {
    let Machine {
        program,
        etc,
        store,
        socket,
    } = machine();
    let mut world = World::on(program);
    let code = world.at("code");
    let said = world.init(&["--first-host", "web1", "--so-pin-out", &code, "--json"]);
    let stderr = said.stderr.clone();
    let said = said.ok();
    let json: Value = serde_json::from_str(&said).unwrap();
    let pin = world.at("authority/ca-pin");
    let token = world.at("authority/join-token-web1");
    assert_eq!(json["pin"], pin.as_str());
    assert_eq!(json["store"], world.at("authority/keys").as_str());
    assert_eq!(json["first_host"]["join_token_file"], token.as_str());
    assert_eq!(json["first_host"]["bring"], Value::Null);
    for file in [&pin, &token, &code] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
    assert_eq!(world.counters(), 1);

    // As if it was killed between its last two steps.
    let mark = world.at("authority/init-unfinished");
    fs::write(&mark, world.at("authority/keys")).unwrap();
    let address = world.serve();
    assert!(
        !Path::new(&mark).exists(),
        "the next init would remove the keys"
    );
    let line = json["first_host"]["enroll"].as_str().unwrap();
    let line = line.replace("127.0.0.1:0", &address);
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!(words[..4], ["sudo", "tpmssh", "host", "setup"], "{line}");
    let program = std::mem::replace(&mut world.program, Program::new());
    let machine = Machine {
        program,
        etc,
        store,
        socket,
    };
    machine.setup(&words[4..]).ok();
    let certificate = format!("{}/ssh/ssh_host_tpm_ecdsa_key-cert.pub", machine.etc);
    let shown = run("ssh-keygen", &["-L", "-f", &certificate]);
    assert!(shown.contains("\n                web1\n"), "{shown}");
    world.program = machine.program;

    let list = world.run(&["ca", "list"]).ok();
    let places = list.lines().filter(|line| line.contains("  TPM  "));
    assert_eq!(places.count(), 2, "{list}");
    // The public halves are in files, and are those of authorities in the store.
    for kind in ["user-ca", "host-ca"] {
        let public = fs::read_to_string(world.at(&format!("authority/{kind}.pub"))).unwrap();
        let of_store = world.tpmssh(&["ca", "public-key", "--ca", kind]).ok();
        assert_eq!(public, of_store);
    }
    // Nobody but these files has the PIN, the code and the join token.
    let log = fs::read_to_string(world.at("authority/audit.log")).unwrap();
    for file in [&pin, &token, &code] {
        let secret = fs::read_to_string(file).unwrap();
        for text in [&said, &stderr, &log] {
            assert!(!text.contains(secret.trim()), "{file}: {text}");
        }
    }
    // The code is that of the token.
    let new = world.program.secret("new", "another pin");
    let reset = [
        "token",
        "reset-pin",
        "--so-pin-file",
        &code,
        "--new-pin-file",
        &new,
    ];
    world.tpmssh(&reset).ok();
}

#[test]
fn the_registry_may_be_in_postgresql_and_no_keys_are_left_if_it_is_not_prepared() {
    let server = Postgres::start();
    let mut world = World::new();
    let unprepared = server.url("owner", "postgres");
    let refused = world.init(&["--database", &unprepared]);
    assert!(refused.stderr.contains("database prepare"), "{refused:?}");
    assert_eq!((refused.code, world.counters()), (Some(1), 0));

    let database = prepare(&server);
    world
        .init(&["--database", &database, "--first-host", "web1"])
        .ok();
    let files = world.files();
    assert!(files.contains(&"ticket-keys".to_owned()), "{files:?}");
    assert!(!files.contains(&"registry.db".to_owned()), "{files:?}");
    world.serve();
    let tokens = world.run(&["join-token", "list"]).ok();
    assert!(tokens.contains("web1"), "{tokens}");
}

#[test]
fn the_recovery_code_is_shown_once_and_what_there_is_stays() {
    let world = World::new();
    let made = world.init(&[]);
    let (shown, _) = made.stderr.split_once("\nWrite it down now: ").unwrap();
    let code = shown.strip_prefix("Recovery code (SO PIN): ").unwrap();
    assert_eq!(code.len(), 23, "{made:?}");
    let dir = world.at("authority");
    let place = format!(
        "its keys are in the TPM, in the token \"ca\" of the store {dir}/keys; the PIN of the token is in {dir}/ca-pin\n"
    );
    let next =
        format!("next: tpmssh-ca --dir {dir} serve\nthen: tpmssh-ca --dir {dir} join-token new ");
    assert!(
        made.stdout.contains(&place) && made.stdout.contains(&next),
        "{made:?}"
    );
    assert!(!made.stdout.contains(code));
    let there = [
        "audit.log",
        "ca-pin",
        "host-ca.pub",
        "keys",
        "policy.toml",
        "registry.db",
        "user-ca.pub",
    ];
    assert_eq!(world.files(), there);

    let says = format!("tpmssh-ca: there is an authority in {dir} already\n");
    world.init(&[]).fails(1, &says);
    // Without its policy it is none, but somebody may need its keys.
    fs::rename(format!("{dir}/policy.toml"), world.at("policy")).unwrap();
    let says = format!(
        "tpmssh-ca: the keys are not made: {dir}/user-ca.pub is there already, and may be of keys that are in use: move it away\n"
    );
    world.init(&[]).fails(1, &says);
    for file in ["ca-pin", "host-ca.pub", "user-ca.pub"] {
        fs::remove_file(format!("{dir}/{file}")).unwrap();
    }
    let says = format!(
        "tpmssh-ca: the keys are not made: the store in {dir}/keys has a token \"ca\" already: use its keys with --token ca, or another directory with --store DIR\n"
    );
    world.init(&[]).fails(1, &says);
    assert_eq!(world.counters(), 1);
    assert!(!world.files().contains(&"init-unfinished".to_owned()));
}

#[test]
fn what_prevents_it_is_told_and_nothing_is_left() {
    let world = World::new();
    let says = |why: &str| format!("tpmssh-ca: the keys are not made: {why}\n");
    // Before anything is made.
    let mut nowhere = world.init_command(&[]);
    nowhere.env("TPMSSH_TCTI", "swtpm:host=127.0.0.1,port=1");
    Outcome::of(&mut nowhere).fails(
        1,
        &says("no TPM at swtpm:host=127.0.0.1,port=1: Connection refused (os error 111); switch the TPM on in the firmware setup, or try a simulated one: tpmssh simulator start"),
    );
    world.init(&["--first-host", "a b"]).fails(
        1,
        "tpmssh-ca: the role \"host\" makes no principals of the name \"a b\"\n",
    );
    let password = world.program.secret("owner", &"x".repeat(33));
    world.init(&["--owner-auth-file", &password]).fails(
        1,
        &says("unusable owner password: an authorization value is longer than 32 bytes"),
    );
    assert!(!Path::new(&world.at("authority")).exists());

    let file = world.program.secret("file", "");
    let mut below = world.command(&[]);
    let dir = format!("{file}/authority");
    below.args(["init", "--dir", &dir, "--make-keys", "--audience", "x"]);
    let why = format!("cannot make {file}/authority: Not a directory (os error 20)");
    Outcome::of(&mut below).fails(1, &says(&why));
    let why = format!("cannot make {file}: File exists (os error 17)");
    world.init(&["--so-pin-out", &file]).fails(1, &says(&why));
    assert_eq!(fs::read(&file).unwrap(), b"");
    assert_eq!(
        (world.counters(), world.files()),
        (0, vec!["keys".to_owned()])
    );

    // In the middle: the keys were made and are removed again.
    fs::create_dir(world.at("authority/registry.db")).unwrap();
    let code = world.at("code");
    let outcome = world.init(&["--so-pin-out", &code]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(
        outcome
            .stderr
            .starts_with("tpmssh-ca: the registry is not available: "),
        "{outcome:?}"
    );
    assert!(!Path::new(&code).exists());
    assert_eq!(
        (world.counters(), world.files()),
        (0, vec!["keys".to_owned(), "registry.db".to_owned()])
    );
    fs::remove_dir(world.at("authority/registry.db")).unwrap();

    // Another one is at it.
    let mark = fs::File::create(world.at("authority/init-unfinished")).unwrap();
    flock(&mark, FlockOperation::LockExclusive).unwrap();
    let why = format!(
        "another tpmssh-ca init runs here: {}",
        world.at("authority/init-unfinished")
    );
    world.init(&[]).fails(1, &says(&why));
    drop(mark);

    // The TPM's owner has to agree.
    let owner = world.program.secret("owner", "of the owner");
    let set = ["tpm", "change-auth", "owner", "--new-auth-file", &owner];
    world.program.run(&set).ok();
    let outcome = world.init(&[]);
    assert!(
        outcome.stderr.contains("; give ")
            && outcome.stderr.ends_with(" with --owner-auth-file FILE\n"),
        "{outcome:?}"
    );
    world.init(&["--owner-auth-file", &owner]).ok();
    assert_eq!(world.counters(), 1);
}

#[test]
fn a_store_that_another_program_holds_is_said_to_be_busy() {
    let world = World::new();
    world.program.init("work");
    let store = text(world.program.home.store());
    let mut other = Connection::open(format!("{store}/store.db")).unwrap();
    let held = other.transaction_with_behavior(TransactionBehavior::Exclusive);
    let held = held.unwrap();
    world.init(&["--store", &store]).fails(
        1,
        "tpmssh-ca: the keys are not made: the store is in use by another program\n",
    );
    drop(held);
    world.init(&["--store", &store]).ok();
    let list = world.program.run(&["token", "list"]).ok();
    assert!(list.contains("work") && list.contains("ca"), "{list}");
}

/// Each `init` finds what the one before it has left.
#[test]
fn an_init_that_is_killed_leaves_nothing_in_the_way_of_the_next() {
    let whole = World::new();
    let tap = Tap::start(&whole.program.swtpm);
    Outcome::of(whole.init_command(&[]).env("TPMSSH_TCTI", tap.tcti())).ok();
    let all = tap.commands().len();
    drop(tap);
    assert!(all > 20, "{all}");

    let world = World::new();
    let code = world.at("code");
    for part in 1..10 {
        let last = all * part / 10;
        let tap = Tap::start(&world.program.swtpm);
        // Those that clean up have commands of their own before.
        tap.inject(When::Nth(last), Fault::Silence);
        let mut command = world.init_command(&["--so-pin-out", &code]);
        let mut child = command
            .env("TPMSSH_TCTI", tap.tcti())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually(|| tap.commands().len() > last || child.try_wait().unwrap().is_some());
        child.kill().unwrap();
        child.wait().unwrap();
        drop(tap);
        let _ = fs::remove_file(&code);
        assert!(
            !Path::new(&world.at("authority/policy.toml")).exists(),
            "{last} of {all}"
        );
    }
    let last = world.init(&["--so-pin-out", &code, "--first-host", "web1"]);
    last.ok();
    assert_eq!(world.counters(), 1);
    let tokens = world.tpmssh(&["token", "list", "--json"]).ok();
    let tokens: Value = serde_json::from_str(&tokens).unwrap();
    assert_eq!(tokens.as_array().unwrap().len(), 1, "{tokens}");
    assert!(!world.files().contains(&"init-unfinished".to_owned()));
}

/// The mark alone is no leave to remove a token: it has to be the one whose PIN is beside it.
#[test]
fn a_token_that_the_killed_init_did_not_make_is_not_removed() {
    let world = World::new();
    let dir = world.at("authority");
    fs::DirBuilder::new().mode(0o700).create(&dir).unwrap();
    world.program.init("ca");
    let store = text(world.program.home.store());
    fs::write(format!("{dir}/init-unfinished"), &store).unwrap();
    let pin = world.program.secret("authority/ca-pin", "not this one");
    let outcome = world.init(&["--store", &store]);
    outcome.fails(
        1,
        &format!(
            "tpmssh-ca: the keys are not made: another init did not end here, and what it has left cannot be removed (by hand: TPMSSH_STORE={store} tpmssh token delete ca, then: rm {pin} {dir}/init-unfinished): wrong PIN, 2 tries left\n"
        ),
    );
    assert_eq!(world.counters(), 1);
    assert!(Path::new(&pin).exists());
}
