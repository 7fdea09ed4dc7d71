//! Losses of an idle connection, a loaded key, a saved context or a session: the next signature
//! succeeds, or the error tells why it never can again, and no login is lost.
//!
//! The table has all causes of a loss, bare and managed, after one and after three signatures, in
//! the module (in `ssh-agent`), in our agent, and in a program that uses the libraries.

use std::env;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use testing::{Abrmd, AgentClient, Home, SshAgent, Swtpm, message, module};
use token_store::{OpenToken, Pin, Store, StoreDir, object::Body};
use tpm_core::{Scheme, Tpm};

use crate::agent::served::{Served, eventually};
use crate::program::{Outcome, PIN, Program, tpmssh};

/// What happens while everything is idle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// The TPM was switched off and on in good order.
    Restarted,
    /// It lost its power, and came back.
    PowerFailed,
    /// The machine slept.
    Suspended,
    /// The TPM went away and came back. Meanwhile each signer tried to sign.
    AwayAndBack,
    /// The resource manager was killed and started again.
    ManagerRestarted,
    /// The resource manager went away and came back. Meanwhile each signer tried to sign.
    ManagerAwayAndBack,
    /// The message bus was killed and started again, and the manager with it.
    BusRestarted,
    /// The machine slept, with the resource manager running.
    SuspendedBelowManager,
    /// The TPM was reset below the resource manager.
    ResetBelowManager,
    /// The TPM below the resource manager went away and came back. Meanwhile each signer tried to sign.
    AwayBelowManager,
    /// The storage root key was evicted, and the TPM or the manager restarted, which unloads the keys
    /// below it. Each signer tried to sign. Then the storage root key was made again.
    Evicted,
    /// `TPM2_Clear`: the keys are gone for ever.
    Cleared,
}

const BARE: [Loss; 6] = [
    Loss::Restarted,
    Loss::PowerFailed,
    Loss::Suspended,
    Loss::AwayAndBack,
    Loss::Evicted,
    Loss::Cleared,
];

const MANAGED: [Loss; 8] = [
    Loss::ManagerRestarted,
    Loss::ManagerAwayAndBack,
    Loss::BusRestarted,
    Loss::SuspendedBelowManager,
    Loss::ResetBelowManager,
    Loss::AwayBelowManager,
    Loss::Evicted,
    Loss::Cleared,
];

/// The TPM, and what is in front of it.
struct Stack<'a> {
    swtpm: &'a mut Swtpm,
    abrmd: Option<&'a mut Abrmd>,
    /// Clears the TPM.
    clear: Command,
    /// Evicts the storage root key.
    evict: Command,
    /// Makes the storage root key again.
    own: Command,
}

impl Stack<'_> {
    fn manager(&mut self) -> &mut Abrmd {
        self.abrmd.as_mut().unwrap()
    }

    /// Brings about `loss`. `notice` is called while no signature is possible.
    fn suffer(&mut self, loss: Loss, mut notice: impl FnMut()) {
        match loss {
            Loss::Restarted => self.swtpm.restart(),
            Loss::PowerFailed | Loss::ResetBelowManager => {
                self.swtpm.kill();
                self.swtpm.restart();
            }
            Loss::Suspended | Loss::SuspendedBelowManager => self.swtpm.suspend_and_resume(),
            Loss::AwayAndBack | Loss::AwayBelowManager => {
                self.swtpm.stop();
                notice();
                self.swtpm.restart();
            }
            Loss::ManagerRestarted => self.manager().restart(),
            Loss::ManagerAwayAndBack => {
                self.manager().kill();
                notice();
                self.manager().restart();
            }
            Loss::BusRestarted => self.manager().restart_bus(),
            Loss::Evicted => {
                drop(Outcome::of(&mut self.evict).ok());
                match &mut self.abrmd {
                    Some(manager) => manager.restart(),
                    None => self.swtpm.restart(),
                }
                notice();
                drop(Outcome::of(&mut self.own).ok());
            }
            Loss::Cleared => drop(Outcome::of(&mut self.clear).ok()),
        }
    }
}

/// Makes one signature; returns whether that succeeded.
type Signer<'a> = Box<dyn FnMut() -> bool + 'a>;

/// Signs by an agent whose key is unlocked.
fn signer<'a>(mut client: AgentClient) -> Signer<'a> {
    let list = client.ask(&[11]);
    let len = u32::from_be_bytes(list[5..9].try_into().unwrap()) as usize;
    let mut request = message(13, &[&list[9..9 + len], b"data"]);
    request.extend([0; 4]);
    Box::new(move || client.ask(&request)[0] == 14)
}

const LIBRARY: &str = "TPMSSH_TEST_LIBRARY_STORE";
const LIBRARY_TCTI: &str = "TPMSSH_TEST_LIBRARY_TCTI";

/// The program that uses the libraries: it signs for each line that it gets.
#[test]
fn library() {
    let (Ok(store), Ok(tcti)) = (env::var(LIBRARY), env::var(LIBRARY_TCTI)) else {
        return;
    };
    let store = Store::open(&StoreDir::at(store).unwrap()).unwrap();
    let token = &store.tokens().unwrap()[0];
    let mut keys = store.objects(token.id).unwrap().into_iter();
    let key = keys.find_map(|object| match object.body {
        Body::PrivateKey { key, .. } => Some(key),
        _ => None,
    });
    let key = key.unwrap();
    let tpm = Arc::new(Tpm::new(tcti.parse().unwrap()));
    let pin = Pin::new(PIN.as_bytes()).unwrap();
    let open = OpenToken::open(&store, &tpm, token, Some(&pin)).unwrap();
    for line in std::io::stdin().lines() {
        line.unwrap();
        match open.sign(&key, Scheme::Ecdsa, &[1; 32]) {
            Ok(_) => println!("SIGNED"),
            Err(err) => println!("REFUSED {err}"),
        }
    }
}

struct Library {
    child: Child,
    asks: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Library {
    fn start(home: &Home, tcti: &str, env: &[(OsString, OsString)]) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "stale::library", "--nocapture"])
            .env(LIBRARY, home.store())
            .env(LIBRARY_TCTI, tcti)
            .envs(env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            asks: child.stdin.take().unwrap(),
            answers: BufReader::new(child.stdout.take().unwrap()).lines(),
            child,
        }
    }

    fn signs(&mut self) -> bool {
        self.asks.write_all(b"\n").unwrap();
        loop {
            let line = self.answers.next().unwrap().unwrap();
            if line.contains("SIGNED") || line.contains("REFUSED") {
                return line.contains("SIGNED");
            }
        }
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A row of the table: whether the first and the second signature after the loss were made, by
/// module, agent and library.
fn row(managed: bool, before: usize, loss: Loss) -> [[bool; 2]; 3] {
    let mut program = Program::with_key();
    let mut abrmd = managed.then(|| Abrmd::start(&program.swtpm));
    let env = abrmd.as_ref().map(Abrmd::env).unwrap_or_default();
    let tcti = abrmd.as_ref().map_or(program.swtpm.tcti(), Abrmd::tcti);
    program.home.set_tcti(&tcti);
    let Program {
        home, swtpm, pin, ..
    } = &mut program;
    let home = &*home;
    let run = |command: &mut Command| {
        let env = env.iter().map(|(name, value)| (name, value));
        Outcome::of(command.envs(env)).ok()
    };
    let module = module().display().to_string();
    let host = SshAgent::start(home, &module, &env);
    let mut add = home.command("ssh-add");
    add.envs(home.askpass(pin.as_ref())).envs(host.env());
    run(add.args(["-s", &module]));
    let agent = Served::with(home, &["--no-ask"], &env);
    run(tpmssh(home)
        .args(["unlock", "--pin-file", pin])
        .envs(agent.env()));
    let mut library = Library::start(home, &tcti, &env);
    let mut signers: [Signer<'_>; 3] = [
        signer(AgentClient::connect(host.socket())),
        signer(AgentClient::connect(agent.socket())),
        Box::new(|| library.signs()),
    ];
    for sign in &mut signers {
        for _ in 0..before {
            assert!(sign(), "{loss:?}: before it");
        }
    }
    let mut clear = tpmssh(home);
    clear.args(["tpm", "clear", "--yes"]);
    clear.envs(env.iter().map(|(name, value)| (name, value)));
    let mut evict = home.command("tpm2_evictcontrol");
    evict.args(["-C", "o", "-c", "0x81000001"]);
    evict.env("TPM2TOOLS_TCTI", &tcti);
    evict.envs(env.iter().map(|(name, value)| (name, value)));
    let mut own = tpmssh(home);
    own.args(["tpm", "take-ownership", "--no-passwords", "--yes"]);
    own.envs(env.iter().map(|(name, value)| (name, value)));
    let mut stack = Stack {
        swtpm,
        abrmd: abrmd.as_mut(),
        clear,
        evict,
        own,
    };
    stack.suffer(loss, || {
        for sign in &mut signers {
            assert!(!sign(), "{loss:?}: a signature while it is away");
        }
    });
    let mut results = signers.each_mut().map(|sign| [sign(), sign()]);
    let log = agent.log();
    for noise in [
        "panic",
        "store is corrupt",
        "CRITICAL",
        "WARNING:",
        "ERROR:",
    ] {
        assert!(!log.contains(noise), "{loss:?}: {log}");
    }
    // tpm2-abrmd does not notice a reset of the TPM below it. It goes on to use handles that the TPM
    // has forgotten, and loses track of others, which fill the TPM's three slots. Its clients cannot
    // free those; a restart of the TPM, or of tpm2-abrmd with `--flush-all`, does. Until then the
    // error says that the slots are full. Afterwards the logins are still good.
    let below = [
        Loss::SuspendedBelowManager,
        Loss::ResetBelowManager,
        Loss::AwayBelowManager,
    ];
    if below.contains(&loss) && results != [[true; 2]; 3] {
        let full = "the TPM has no free slot for another object or session";
        if results[1] != [true; 2] {
            eventually(|| agent.log().contains(full));
        }
        stack.swtpm.restart();
        stack.manager().restart();
        results = signers.each_mut().map(|sign| [sign(), sign()]);
    }
    results
}

fn table(managed: bool, losses: &[Loss]) {
    let mut wrong = Vec::new();
    for before in [1, 3] {
        for &loss in losses {
            let made = row(managed, before, loss);
            // Shown with `--nocapture`.
            let stack = if managed { "managed" } else { "bare" };
            println!(
                "{stack:8} {before} before  {:22} {}",
                format!("{loss:?}"),
                cells(made)
            );
            let expected = [[loss != Loss::Cleared; 2]; 3];
            if made != expected {
                wrong.push(format!("{loss:?} after {before} signatures: {made:?}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new(), "module, agent, library");
}

/// What module, agent and library made of their two signatures.
fn cells(made: [[bool; 2]; 3]) -> String {
    let names = ["module", "agent", "library"];
    let cell = |(name, made): (&str, [bool; 2])| {
        let [first, second] = made.map(|made| if made { "signed" } else { "refused" });
        format!("{name}: {first}, {second}")
    };
    let cells: Vec<_> = names.into_iter().zip(made).map(cell).collect();
    cells.join("; ")
}

#[test]
fn no_loss_of_a_bare_connection_costs_a_signature_or_a_login() {
    table(false, &BARE);
}

#[test]
fn no_loss_of_a_managed_connection_costs_a_signature_or_a_login() {
    table(true, &MANAGED);
}
