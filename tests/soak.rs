//! A mixed load with faults, on a bare TPM and behind a resource manager. Some properties must
//! always hold; others again within ten seconds after the end of a fault.
//!
//! `cargo xtask soak [MINUTES] [SEED]` runs it for long; without that it takes some seconds.

use std::env;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use testing::{Abrmd, AgentClient, Home, SshAgent, Swtpm, message, module};

use crate::agent::served::Served;
use crate::program::{Outcome, PIN, Program, text, tpmssh};

/// How long after a fault a login may be unusable.
const BACK: Duration = Duration::from_secs(10);
/// How much more memory a process may have at the end than after its first signatures, in KiB.
const MEMORY: usize = 8 * 1024;

/// xorshift64*: the same steps for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }
}

/// The resources of a process that could grow.
#[derive(Debug, Clone, Copy)]
struct Size {
    memory: usize,
    descriptors: usize,
    threads: usize,
}

impl Size {
    fn of(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let number = |name: &str| -> usize {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        Self {
            memory: number("VmRSS:"),
            threads: number("Threads:"),
            descriptors: fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count(),
        }
    }

    #[track_caller]
    fn is_like(self, before: Self, whose: &str) {
        let grown = self.memory > before.memory + MEMORY
            || self.descriptors > before.descriptors + 8
            || self.threads > before.threads + 4;
        assert!(!grown, "{whose}: {before:?} became {self:?}");
    }
}

/// Counts for the last line of the output.
#[derive(Debug, Default)]
struct Tally {
    operations: u32,
    signatures: u32,
    faults: u32,
    slowest: Duration,
}

/// A token with a key, an agent and a module host that are logged in, and the TPM below them.
struct Stack<'a> {
    home: &'a Home,
    pin: &'a str,
    swtpm: &'a mut Swtpm,
    abrmd: Option<Abrmd>,
    env: Vec<(OsString, OsString)>,
    host: SshAgent,
    agent: Option<Served<'a>>,
    /// The sizes of the agent and of the module's host after their first signatures.
    sizes: [Size; 2],
    tally: Tally,
}

/// Asks for one signature by the only key.
fn sign(socket: &Path) -> bool {
    let mut client = AgentClient::connect(socket);
    let list = client.ask(&[11]);
    let Some(len) = list.get(5..9) else {
        return false;
    };
    let len = u32::from_be_bytes(len.try_into().unwrap()) as usize;
    let mut request = message(13, &[&list[9..9 + len], b"data"]);
    request.extend([0; 4]);
    client.ask(&request)[0] == 14
}

impl<'a> Stack<'a> {
    fn run(&self, command: &mut Command) -> Outcome {
        let env = self.env.iter().map(|(name, value)| (name, value));
        Outcome::of(command.envs(env))
    }

    fn tpmssh(&self, args: &[&str]) -> Outcome {
        self.run(tpmssh(self.home).args(args))
    }

    fn agent(&self) -> &Served<'a> {
        self.agent.as_ref().unwrap()
    }

    /// Ends the agent with SIGKILL, and starts and unlocks another.
    fn restart_agent(&mut self) {
        let log = self.agent.take().map(|agent| agent.log());
        assert!(
            !log.is_some_and(|log| log.contains("panicked")),
            "the agent"
        );
        let agent = Served::with(self.home, &["--no-ask"], &self.env);
        let mut unlock = tpmssh(self.home);
        unlock.args(["unlock", "--pin-file", self.pin]);
        self.run(unlock.envs(agent.env())).ok();
        self.agent = Some(agent);
        for _ in 0..5 {
            self.both_sign();
        }
        self.sizes[0] = Size::of(self.agent().pid());
    }

    /// Both logins can be used, at the latest after ten seconds.
    fn both_sign(&mut self) {
        let begun = Instant::now();
        let sockets = [
            self.agent().socket().to_owned(),
            self.host.socket().to_owned(),
        ];
        for (socket, whose) in sockets.iter().zip(["agent", "module"]) {
            while !sign(socket) {
                let log = self.agent().log();
                assert!(begun.elapsed() < BACK, "no signature by the {whose}: {log}");
                thread::sleep(Duration::from_millis(50));
            }
            self.tally.signatures += 1;
        }
        self.tally.slowest = self.tally.slowest.max(begun.elapsed());
    }

    /// One action of a user.
    fn operate(&mut self, dice: &mut Dice) {
        self.tally.operations += 1;
        match dice.roll(12) {
            0 => drop(self.tpmssh(&["token", "list"]).ok()),
            1 => {
                let label = format!("key{}", self.tally.operations);
                self.tpmssh(&["keygen", "--label", &label, "--pin-file", self.pin])
                    .ok();
                self.tpmssh(&["delete", &label, "--yes"]).ok();
            }
            2 => {
                let wrong = text(self.home.secret_file("wrong", "not the PIN"));
                let keygen = |pin| ["keygen", "--label", "again", "--pin-file", pin];
                assert_eq!(self.tpmssh(&keygen(&wrong)).code, Some(3), "a wrong PIN");
                // A right one sets the counter back.
                self.tpmssh(&keygen(self.pin)).ok();
                self.tpmssh(&["delete", "again", "--yes"]).ok();
            }
            3 => {
                let mut tool = self.home.command("pkcs11-tool");
                tool.arg("--module")
                    .arg(module())
                    .args(["--login", "--pin", PIN, "-O"]);
                self.run(&mut tool).ok();
            }
            4 => {
                // A client that leaves before it is answered, and one that sends half a message.
                let mut half = UnixStream::connect(self.agent().socket()).unwrap();
                half.write_all(&[0, 0, 0, 9, 13]).unwrap();
                let mut client = AgentClient::connect(self.agent().socket());
                client.send_message(&[11]);
            }
            _ => self.both_sign(),
        }
    }

    /// One fault, and its end.
    fn fail(&mut self, dice: &mut Dice) {
        self.tally.faults += 1;
        let while_it_lasts = |stack: &mut Self, dice: &mut Dice| {
            // A signature may fail now, but must not hang.
            if dice.roll(2) == 0 {
                sign(stack.agent().socket());
                sign(stack.host.socket());
            }
        };
        let store = self.home.store();
        match dice.roll(if self.abrmd.is_some() { 11 } else { 8 }) {
            0 => {
                self.swtpm.pause();
                thread::sleep(Duration::from_millis(dice.roll(800)));
                self.swtpm.resume();
            }
            1 => {
                self.swtpm.kill();
                while_it_lasts(self, dice);
                self.swtpm.restart();
                // tpm2-abrmd does not survive a reset of its TPM.
                if let Some(abrmd) = &mut self.abrmd {
                    abrmd.restart_and_flush();
                }
            }
            2 => self.restart_agent(),
            3 => {
                let away = self.home.path().join("away");
                fs::rename(&store, &away).unwrap();
                while_it_lasts(self, dice);
                fs::rename(&away, &store).unwrap();
            }
            4 => {
                fs::set_permissions(&store, Permissions::from_mode(0o500)).unwrap();
                while_it_lasts(self, dice);
                let refused = ["keygen", "--label", "none", "--pin-file", self.pin];
                assert_ne!(self.tpmssh(&refused).code, Some(0));
                fs::set_permissions(&store, Permissions::from_mode(0o700)).unwrap();
            }
            5 => {
                fs::remove_file(self.agent().socket()).unwrap();
                assert_eq!(
                    self.tpmssh(&["unlock", "--pin-file", self.pin]).code,
                    Some(10)
                );
                self.restart_agent();
            }
            6 => {
                let mut tool = self.home.command("pkcs11-tool");
                tool.arg("--module")
                    .arg(module())
                    .args(["--login", "--pin", PIN, "-O"]);
                tool.envs(self.env.iter().map(|(name, value)| (name, value)));
                tool.stdout(Stdio::null()).stderr(Stdio::null());
                let mut victim = tool.spawn().unwrap();
                thread::sleep(Duration::from_millis(dice.roll(200)));
                let _ = victim.kill();
                victim.wait().unwrap();
            }
            7 => {
                // No file may grow, as on a full disk.
                let mut full = self.home.command("prlimit");
                full.args(["--fsize=0", env!("CARGO_BIN_EXE_tpmssh")]);
                full.args(["keygen", "--label", "none", "--pin-file", self.pin]);
                assert_eq!(self.run(&mut full).code, Some(11), "a full disk");
                let listed = self.tpmssh(&["list-objects"]).ok();
                assert!(!listed.contains("none"), "{listed}");
            }
            8 => {
                let abrmd = self.abrmd.as_mut().unwrap();
                abrmd.kill();
                while_it_lasts(self, dice);
                self.abrmd.as_mut().unwrap().restart_and_flush();
            }
            9 => {
                // The manager ends with its bus, and leaves in the TPM what it had loaded.
                let abrmd = self.abrmd.as_mut().unwrap();
                abrmd.restart_bus();
                abrmd.restart_and_flush();
            }
            _ => {
                let abrmd = self.abrmd.as_mut().unwrap();
                abrmd.pause();
                thread::sleep(Duration::from_millis(dice.roll(800)));
                abrmd.resume();
            }
        }
        self.both_sign();
    }

    /// Nothing is lost, nothing has grown, nothing was printed that should not be.
    fn is_well(&self) {
        let listed = self.tpmssh(&["list-objects"]).ok();
        assert!(listed.contains("first"), "{listed}");
        let tokens = self.tpmssh(&["token", "list"]).ok();
        assert!(tokens.contains("3 of 3 tries left"), "{tokens}");
        let log = self.agent().log();
        for noise in ["panicked", "store is corrupt", "CRITICAL", "GLib"] {
            assert!(!log.contains(noise), "{log}");
        }
        Size::of(self.agent().pid()).is_like(self.sizes[0], "agent");
        Size::of(self.host.pid()).is_like(self.sizes[1], "module's host");
    }
}

fn soak(managed: bool, time: Duration, seed: u64) -> Tally {
    let mut program = Program::with_key();
    let abrmd = managed.then(|| Abrmd::start(&program.swtpm));
    if let Some(abrmd) = &abrmd {
        program.home.set_tcti(abrmd.tcti());
    }
    let Program {
        home, swtpm, pin, ..
    } = &mut program;
    let home = &*home;
    let env = abrmd.as_ref().map(Abrmd::env).unwrap_or_default();
    let module = module().display().to_string();
    let host = SshAgent::start(home, &module, &env);
    let mut add = home.command("ssh-add");
    add.args(["-s", &module]).envs(home.askpass(pin.as_ref()));
    Outcome::of(add.envs(host.env())).ok();
    let size = Size::of(host.pid());
    let mut stack = Stack {
        home,
        pin,
        swtpm,
        abrmd,
        env,
        host,
        agent: None,
        sizes: [size; 2],
        tally: Tally::default(),
    };
    stack.restart_agent();
    stack.sizes[1] = Size::of(stack.host.pid());
    let mut dice = Dice(seed | 1);
    let end = Instant::now() + time;
    while Instant::now() < end {
        if dice.roll(6) == 0 {
            stack.fail(&mut dice);
        } else {
            stack.operate(&mut dice);
        }
    }
    stack.is_well();
    stack.tally
}

#[test]
fn a_mixed_load_with_faults_loses_nothing_and_grows_nowhere() {
    let number = |name: &str| env::var(name).ok().and_then(|value| value.parse().ok());
    let time = Duration::from_secs(number("TPMSSH_SOAK_SECONDS").unwrap_or(5));
    let seed = number("TPMSSH_SOAK_SEED").unwrap_or(1);
    println!("soak: {} s, seed {seed}", time.as_secs());
    thread::scope(|scope| {
        let stacks = [(false, "bare"), (true, "managed")]
            .map(|(managed, name)| (name, scope.spawn(move || soak(managed, time, seed))));
        for (name, stack) in stacks {
            println!("soak: {name}: {:?}", stack.join().unwrap());
        }
    });
}
