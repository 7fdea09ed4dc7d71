//! The messages if a command ends between the chip and the store: each tells the true state, and
//! the command in its hint completes the change.

use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use testing::{Fault, Tap, When};

use crate::program::{Outcome, PIN, Program};

const NEW: &str = "staple battery";

const NV_UNDEFINE: u32 = 0x122;
const NV_DEFINE: u32 = 0x12a;
const NV_CHANGE_AUTH: u32 = 0x13b;
const OBJECT_CHANGE_AUTH: u32 = 0x150;
const CREATE: u32 = 0x153;

/// How a command is interrupted.
#[derive(Debug, Clone, Copy)]
enum Break {
    /// The chip did the command with this code, and its answer is lost.
    Answer(u32),
    /// Nothing can be written to the store.
    Disk,
    /// The disk fails after the store is written, when its directory is to be made durable.
    Directory,
}

/// Which PIN is valid after the interrupted command.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Valid {
    Old,
    New,
    /// The token is there, and its PIN counter is not.
    NoCounter,
}

struct World {
    program: Program,
    new: String,
}

impl World {
    fn new(wall: &str) -> Self {
        let program = Program::new();
        let (pin, so_pin) = (&program.pin, &program.so_pin);
        let args = [
            "token",
            "init",
            "--label",
            "work",
            "--pin-wall",
            wall,
            "--pin-file",
            pin,
            "--so-pin-file",
            so_pin,
        ];
        program.run(&args).ok();
        let new = program.secret("new", NEW);
        Self { program, new }
    }

    /// The arguments of a command; NEW, PIN and SO stand for the files.
    fn args<'a>(&'a self, line: &'a str) -> Vec<&'a str> {
        let file = |word| match word {
            "NEW" => self.new.as_str(),
            "PIN" => self.program.pin.as_str(),
            "SO" => self.program.so_pin.as_str(),
            word => word,
        };
        line.split(' ').map(file).collect()
    }

    fn broken(&self, line: &str, by: Break) -> Outcome {
        let args = self.args(line);
        match by {
            Break::Answer(code) => {
                let tap = Tap::start(&self.program.swtpm);
                tap.inject(When::Next(code), Fault::CutReply(0));
                Outcome::of(
                    self.program
                        .command()
                        .args(["--tcti", &tap.tcti()])
                        .args(args),
                )
            }
            Break::Disk => {
                let mut command = self.program.home.command("prlimit");
                command.args(["--fsize=0", env!("CARGO_BIN_EXE_tpmssh")]);
                Outcome::of(command.args(args))
            }
            Break::Directory => {
                let mut command = self.program.home.command("strace");
                command.args(["--follow-forks", "--quiet=all", "--output=strace"]);
                command.args([
                    "--trace=fsync,fdatasync",
                    "--inject=fsync,fdatasync:error=EIO",
                ]);
                command.arg("--trace-path").arg(self.program.home.store());
                command.arg(env!("CARGO_BIN_EXE_tpmssh"));
                Outcome::of(command.args(args))
            }
        }
    }

    /// Runs a command, and has another program hold the store from the moment at which the chip
    /// is told `code`.
    fn held_at(&self, line: &str, code: u32) -> Outcome {
        let tap = Tap::start(&self.program.swtpm);
        tap.inject(When::Next(code), Fault::Delay(Duration::from_secs(2)));
        let mut other = Connection::open(self.program.home.store().join("store.db")).unwrap();
        let mut command = self.program.command();
        command.args(["--tcti", &tap.tcti()]).args(self.args(line));
        std::thread::scope(|scope| {
            let running = scope.spawn(|| Outcome::of(&mut command));
            testing::eventually(|| tap.commands().contains(&code));
            let held = other
                .transaction_with_behavior(TransactionBehavior::Exclusive)
                .unwrap();
            let outcome = running.join().unwrap();
            drop(held);
            outcome
        })
    }

    fn works(&self, line: &str) -> bool {
        self.program.run(&self.args(line)).code == Some(0)
    }

    fn valid(&self) -> Valid {
        match () {
            () if self.works("keygen --pin-file NEW") => Valid::New,
            () if self.works("keygen --pin-file PIN") => Valid::Old,
            () => Valid::NoCounter,
        }
    }
}

/// The PIN wall, `tpmssh token …`, where it breaks off, the exit code, how the message begins, the
/// hint, and which PIN is valid then.
type Case = (
    &'static str,
    &'static str,
    Break,
    i32,
    &'static str,
    Option<&'static str>,
    Valid,
);

const RESET: &str = "token reset-pin --so-pin-file SO --new-pin-file NEW";
const CHANGE: &str = "token change-pin --pin-file PIN --new-pin-file NEW";
const DELETE: &str = "token delete --yes";
const CHANGE_SO: &str = "token change-so-pin --so-pin-file SO --new-so-pin-file NEW";

const CASES: [Case; 10] = [
    (
        "counter",
        RESET,
        Break::Disk,
        11,
        "tpmssh: the PIN was not reset: ",
        None,
        Valid::Old,
    ),
    (
        "counter",
        RESET,
        Break::Answer(NV_CHANGE_AUTH),
        5,
        "tpmssh: it is not known whether the PIN was reset: ",
        Some("hint: set it once more: tpmssh token reset-pin\n"),
        Valid::New,
    ),
    (
        "counter",
        CHANGE,
        Break::Answer(NV_CHANGE_AUTH),
        5,
        "tpmssh: it is not known whether the PIN was changed: ",
        Some(
            "hint: tpmssh doctor --pin-file FILE finds out with the new PIN in FILE; \
             a wrong one costs a try\n",
        ),
        Valid::New,
    ),
    (
        "counter",
        DELETE,
        Break::Answer(NV_UNDEFINE),
        5,
        "tpmssh: it is not known whether the token was deleted: ",
        Some(
            "hint: tpmssh doctor shows what is left; then: tpmssh token delete, or remove-counter\n",
        ),
        Valid::NoCounter,
    ),
    (
        "counter",
        DELETE,
        Break::Disk,
        11,
        "tpmssh: the token was not deleted: ",
        None,
        Valid::Old,
    ),
    (
        "lockout",
        RESET,
        Break::Answer(OBJECT_CHANGE_AUTH),
        5,
        "tpmssh: the PIN was not reset: ",
        None,
        Valid::Old,
    ),
    (
        "lockout",
        RESET,
        Break::Disk,
        11,
        "tpmssh: the PIN was not reset: ",
        None,
        Valid::Old,
    ),
    (
        "lockout",
        CHANGE,
        Break::Disk,
        11,
        "tpmssh: the PIN was not changed: ",
        None,
        Valid::Old,
    ),
    (
        "counter",
        CHANGE_SO,
        Break::Disk,
        11,
        "tpmssh: the SO PIN was not changed: ",
        None,
        Valid::Old,
    ),
    (
        "counter",
        CHANGE_SO,
        Break::Answer(OBJECT_CHANGE_AUTH),
        5,
        "tpmssh: the SO PIN was not changed: ",
        None,
        Valid::Old,
    ),
];

#[test]
fn a_command_that_breaks_off_says_what_is_true() {
    for (wall, line, by, code, begins, hint, valid) in CASES {
        let world = World::new(wall);
        let outcome = world.broken(line, by);
        let case = format!("{wall} {line} {by:?}: {outcome:?}");
        assert_eq!(outcome.code, Some(code), "{case}");
        assert!(outcome.stderr.contains(begins), "{case}");
        assert!(
            hint.is_none_or(|hint| outcome.stderr.ends_with(hint)),
            "{case}"
        );
        assert_eq!(world.valid(), valid, "{case}");
        match line {
            // The old SO PIN is valid in all cases.
            CHANGE_SO => assert!(world.works(RESET), "{case}"),
            // The command of the hint completes the change.
            DELETE => assert!(world.works(DELETE), "{case}"),
            _ => assert!(world.works(RESET), "{case}"),
        }
        if line != DELETE {
            assert_eq!(world.valid(), Valid::New, "{case}");
        }
    }
}

/// Behind a PIN counter only the chip has the PIN, so a change writes nothing to the store.
#[test]
fn a_pin_that_is_changed_in_the_chip_needs_no_room_on_the_disk() {
    let world = World::new("counter");
    world.broken(CHANGE, Break::Disk).ok();
    assert_eq!(world.valid(), Valid::New);
}

/// The chip has done its part, and another program holds the store.
#[test]
fn what_the_store_cannot_note_is_said_to_be_done() {
    for (line, code, says, hint, valid) in [
        (
            RESET,
            NV_CHANGE_AUTH,
            "the PIN is reset, but the store could not note it",
            "set it once more: tpmssh token reset-pin",
            Valid::New,
        ),
        (
            DELETE,
            NV_UNDEFINE,
            "the token is deleted, but the store still has its traces",
            "tpmssh doctor shows what is left; then: tpmssh token delete, or remove-counter",
            Valid::NoCounter,
        ),
    ] {
        let world = World::new("counter");
        let expected =
            format!("tpmssh: {says}: the store is in use by another program\nhint: {hint}\n");
        world.held_at(line, code).fails(10, &expected);
        assert_eq!(world.valid(), valid, "{line}");
        // The store still has a note about a counter that is gone.
        match line {
            DELETE => {
                let list = world.program.run(&["token", "list"]).ok();
                assert!(!list.contains("work"), "{list}");
                world.program.init("work");
            }
            _ => assert!(world.works(line), "{line}"),
        }
    }
}

/// What is written is done, though a power cut could undo it: a message that says "not done" would
/// be wrong.
#[test]
fn a_store_that_is_written_is_not_called_unwritten() {
    let world = World::new("counter");
    world.broken(RESET, Break::Directory).ok();
    assert_eq!(world.valid(), Valid::New);
    let before = world.program.run(&["export", "--all"]).ok();
    world
        .broken("keygen --label other --pin-file NEW", Break::Directory)
        .ok();
    assert_ne!(world.program.run(&["export", "--all"]).ok(), before);
    let trace = std::fs::read_to_string(world.program.home.path().join("strace")).unwrap();
    assert!(trace.contains("(INJECTED)"), "{trace}");
}

/// A write beyond the limit of file sizes would end the host of the module.
#[test]
fn a_host_of_the_module_outlives_the_limit_of_file_sizes() {
    let world = World::new("counter");
    let module = testing::module();
    let generate = |limit: u64| {
        let mut command = world.program.home.command("prlimit");
        command.arg(format!("--fsize={limit}")).arg("pkcs11-tool");
        command.arg("--module").arg(&module);
        command.args(["--login", "--pin", PIN, "--keypairgen", "--key-type"]);
        Outcome::of(command.args(["EC:prime256v1", "--label", "by a host"]))
    };
    let size = std::fs::metadata(world.program.home.store().join("store.db")).unwrap();
    for limit in [
        0,
        1,
        4096,
        size.len() / 2,
        size.len() - 1,
        size.len(),
        size.len() + 4096,
    ] {
        let outcome = generate(limit);
        assert_eq!(outcome.code, Some(1), "{limit}: {outcome:?}");
        assert!(
            outcome.stderr.contains("CKR_DEVICE_MEMORY"),
            "{limit}: {outcome:?}"
        );
        assert_eq!(world.program.run(&["export"]).code, Some(12), "{limit}");
    }
    generate(16 * size.len()).ok();
    assert!(
        world
            .program
            .run(&["export"])
            .ok()
            .ends_with(" by a host\n")
    );
}

#[test]
fn what_was_not_made_is_not_there() {
    let world = World::new("counter");
    let keygen = "keygen --pin-file PIN";
    for by in [Break::Answer(CREATE), Break::Disk] {
        let outcome = world.broken(keygen, by);
        assert!(
            outcome.stderr.contains("cannot make an ecdsa-p256 key: "),
            "{outcome:?}"
        );
        assert_eq!(world.program.run(&["export"]).code, Some(12));
    }
    let init = "token init --label other --pin-file PIN --so-pin-file SO";
    for by in [Break::Answer(NV_DEFINE), Break::Answer(CREATE), Break::Disk] {
        let outcome = world.broken(init, by);
        assert_ne!(outcome.code, Some(0), "{outcome:?}");
        let list = world.program.run(&["token", "list"]).ok();
        assert!(!list.contains("other"), "{list}");
    }
    world.program.run(&world.args(init)).ok();
}
