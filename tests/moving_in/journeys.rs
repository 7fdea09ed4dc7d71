//! Whole ways from an old key to this program, with a real sshd.

use std::fs;
use std::path::{Path, PathBuf};

use testing::{Abrmd, SshAgent, Sshd, Swtpm};

use super::{PASSPHRASE, import, old_key};
use crate::agent::served::Served;
use crate::clients::module_path;
use crate::copy_id::server;
use crate::program::{Outcome, Program, text};

/// Others have pinned the key, so it cannot be replaced. It is imported, its file is deleted, and the
/// login works as before.
#[test]
fn an_old_key_file_is_imported_and_logs_in_without_its_file() {
    for kind in [["ecdsa", "256"], ["rsa", "2048"]] {
        let program = Program::with_token();
        let file = old_key(&program, "id", kind, PASSPHRASE);
        let sshd = Sshd::start(&program.home);
        fs::copy(format!("{file}.pub"), sshd.authorized_keys()).unwrap();
        let passphrase = program.secret("passphrase", PASSPHRASE);
        import(&program, &file, &["--passphrase-file", &passphrase]).ok();
        fs::remove_file(&file).unwrap();
        // The server has the same line as before.
        let exported = program.run(&["export", "me@old"]).ok();
        let public = fs::read_to_string(format!("{file}.pub")).unwrap();
        assert_eq!(exported, public);
        let askpass = program.home.askpass(program.pin.as_ref());
        let agent = Served::with(&program.home, &[], &askpass);
        let login = sshd.run(&program.home, &agent.env(), &[], "echo in");
        assert_eq!(
            login.stdout,
            b"in\n",
            "{kind:?}: {}{}",
            agent.log(),
            sshd.log()
        );
    }
}

/// The old key is in a file, which logs in once more to let the new one in and itself out.
#[test]
fn an_old_key_in_a_file_is_replaced() {
    let program = Program::with_key();
    let (sshd, config) = server(&program);
    let old = old_key(&program, "old", ["ed25519", "256"], "");
    let agent = SshAgent::start(&program.home, "none", &[]);
    replace(
        &program,
        &sshd,
        &config,
        &["-i", &old],
        &format!("{old}.pub"),
        &agent.env(),
    );
}

/// The old key is in OpenSSH's agent, which is behind ours while people move.
#[test]
fn an_old_key_in_ssh_agent_behind_the_proxy_is_replaced() {
    let program = Program::with_key();
    let (sshd, config) = server(&program);
    let old = old_key(&program, "old", ["ed25519", "256"], "");
    let theirs = SshAgent::start(&program.home, "none", &[]);
    let mut add = program.home.command("ssh-add");
    Outcome::of(add.arg("-q").arg(&old).envs(theirs.env())).ok();
    // The agent has the key alone.
    fs::remove_file(&old).unwrap();
    let socket = text(theirs.socket().to_path_buf());
    let ours = Served::with(&program.home, &["--no-ask", "--proxy", &socket], &[]);
    replace(
        &program,
        &sshd,
        &config,
        &[],
        &format!("{old}.pub"),
        &ours.env(),
    );
}

/// The old key is one of tpm2-pkcs11's, in a TPM of its own, served by OpenSSH's agent with that
/// module; ours stands before it. Neither tool knows of the other.
#[test]
fn an_old_key_of_tpm2_pkcs11_behind_the_proxy_is_replaced() {
    let program = Program::with_key();
    let (sshd, config) = server(&program);
    let theirs = Tpm2Pkcs11::start(&program);
    let listed = theirs.ssh_add(&program, &["-L"]).ok();
    let old = program.secret("old.pub", &listed);
    let socket = text(theirs.agent.socket().to_path_buf());
    let ours = Served::with(&program.home, &["--no-ask", "--proxy", &socket], &[]);
    replace(&program, &sshd, &config, &[], &old, &ours.env());
}

/// `copy-id --replace` by the login that `options` and `env` give; then the old key is refused and
/// the new one lets in.
fn replace(
    program: &Program,
    sshd: &Sshd,
    config: &str,
    options: &[&str],
    old: &str,
    env: &[(std::ffi::OsString, std::ffi::OsString)],
) {
    let allowed = program.home.path().join(".ssh/authorized_keys");
    fs::copy(old, &allowed).unwrap();
    let key = format!("IdentityFile={old}");
    let alone = [
        "-o",
        "BatchMode=yes",
        "-o",
        "IdentitiesOnly=yes",
        "-o",
        &key,
    ];
    let old_login = || {
        let mut ssh = program.home.command("ssh");
        ssh.args(["-F", config]).args(alone).args(options);
        Outcome::of(ssh.args(["here", "echo in"]).envs(env.iter().cloned()))
    };
    let login = old_login();
    assert_eq!(login.stdout, "in\n", "today: {login:#?}{}", sshd.log());

    let mut copy = program.command();
    copy.args([
        "copy-id",
        "-F",
        config,
        "--key",
        "first",
        "--pin-file",
        &program.pin,
    ]);
    copy.args(options).args(["--replace", old, "here"]);
    let copied = Outcome::of(copy.envs(env.iter().cloned()));
    assert_eq!(copied.code, Some(0), "{copied:#?}{}", sshd.log());
    assert!(copied.stdout.contains("replaced"), "{copied:#?}");
    assert_eq!(
        fs::read_to_string(&allowed).unwrap(),
        program.run(&["export", "first"]).ok()
    );
    let refused = old_login();
    assert_eq!(refused.code, Some(255), "{refused:#?}");
    assert!(
        refused.stderr.contains("Permission denied (publickey"),
        "{refused:#?}"
    );
    // The new one, by the module.
    let provider = format!("PKCS11Provider={}", module_path());
    let mut ssh = program.home.command("ssh");
    ssh.args(["-F", config, "-o", &provider, "here", "echo in"]);
    let login = Outcome::of(ssh.envs(program.home.askpass(program.pin.as_ref())));
    assert_eq!(login.stdout, "in\n", "{login:#?}{}", sshd.log());
}

/// A token of tpm2-pkcs11 with one key, in a TPM of its own, and the agent that serves it.
struct Tpm2Pkcs11 {
    agent: SshAgent,
    // Last, so that they end last.
    _manager: Abrmd,
    _swtpm: Swtpm,
}

impl Tpm2Pkcs11 {
    fn start(program: &Program) -> Self {
        let swtpm = Swtpm::start();
        // Without one their tools fill the TPM.
        let manager = Abrmd::start(&swtpm);
        let store = program.home.path().join("tpm2-pkcs11");
        fs::create_dir(&store).unwrap();
        let mut env = manager.env();
        env.extend([
            ("TPM2_PKCS11_STORE".into(), store.into()),
            ("TPM2_PKCS11_TCTI".into(), manager.tcti().into()),
            ("TPM2TOOLS_TCTI".into(), manager.tcti().into()),
        ]);
        let ptool = |args: &[&str]| {
            let mut ptool = program.home.command("tpm2_ptool");
            Outcome::of(ptool.args(args).envs(env.iter().cloned())).ok()
        };
        ptool(&["init"]);
        let pins = ["--userpin", "1234", "--sopin", "5678"];
        ptool(&[&["addtoken", "--pid=1", "--label", "theirs"][..], &pins].concat());
        let key = ["addkey", "--label", "theirs", "--key-label", "old"];
        ptool(&[&key[..], &["--userpin", "1234", "--algorithm", "ecc256"]].concat());
        let module = their_module();
        let agent = SshAgent::start_at(&program.home, "theirs", &text(module.clone()), &env);
        let this = Self {
            agent,
            _manager: manager,
            _swtpm: swtpm,
        };
        let pin = program.secret("their-pin", "1234");
        let mut add = program.home.command("ssh-add");
        add.arg("-s").arg(&module).envs(this.agent.env());
        Outcome::of(add.envs(program.home.askpass(pin.as_ref()))).ok();
        this
    }

    fn ssh_add(&self, program: &Program, args: &[&str]) -> Outcome {
        let mut add = program.home.command("ssh-add");
        Outcome::of(add.args(args).envs(self.agent.env()))
    }
}

/// Debian's module of tpm2-pkcs11, by the canonical path that ssh-agent wants.
fn their_module() -> PathBuf {
    let places = fs::read_dir("/usr/lib").unwrap();
    let in_dir = |dir: &Path| dir.join("pkcs11/libtpm2_pkcs11.so").canonicalize().ok();
    let found = places.filter_map(|dir| in_dir(&dir.unwrap().path())).next();
    found.expect("the Debian package libtpm2-pkcs11-1 is installed")
}
