//! Chromium with a client certificate whose key is in the token.
//!
//! Which certificate it shows to which site is a policy, a file below `/etc/chromium` that holds
//! for the whole machine. So it runs in a mount namespace of its own, where another directory
//! is in that place.

use std::{
    fs,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use testing::{Display, Home};

use super::{WebServer, file, module_path, ok, openssl, self_signed, write};
use crate::program::{PIN, Program};

/// Gives the key `label` a certificate for its label, and the module to the browser's
/// database, as a person would. The path of the authority's certificate.
fn prepare(program: &Program, labels: &[&str], pin: &[&str]) -> String {
    let home = &program.home;
    let [authority, ca_key] = self_signed(home, "authority", "/CN=authority");
    for label in labels {
        let subject = format!("CN={label}");
        let request = ["csr", label, "--subject", &subject];
        let request = program.run(&[&request[..], pin].concat()).ok();
        let request = write(home, "request.pem", request);
        let certificate = file(home, "certificate.pem");
        let sign = ["x509", "-req", "-in", &request, "-out", &certificate];
        let with = ["-CA", &authority, "-CAkey", &ca_key];
        openssl(home, &[&sign[..], &with].concat());
        program.run(&["cert", "import-x509", &certificate]).ok();
    }
    let database = format!("sql:{}", file(home, ".pki/nssdb"));
    fs::create_dir_all(home.path().join(".pki/nssdb")).unwrap();
    let make = ["-N", "-d", &database, "--empty-password"];
    ok(home.command("certutil").args(make));
    let add = ["-dbdir", &database, "-force", "-add", "tpmssh", "-libfile"];
    ok(home.command("modutil").args(add).arg(module_path()));
    authority
}

/// Makes the browser trust `server`, and show it the certificate of `subject`.
fn choose(home: &Home, server: &WebServer, subject: &str) {
    let database = format!("sql:{}", file(home, ".pki/nssdb"));
    let trust = ["-A", "-d", &database, "-n", "server", "-t", "CT,,", "-a"];
    let trusted = ["-i", server.certificate()];
    ok(home.command("certutil").args(trust).args(trusted));
    let choice = serde_json::json!({
        "pattern": format!("https://127.0.0.1:{}", server.port()),
        "filter": { "SUBJECT": { "CN": subject } },
    });
    let policy = serde_json::json!({ "AutoSelectCertificateForUrls": [choice.to_string()] });
    let policies = home.path().join("chromium/policies/managed");
    fs::create_dir_all(&policies).unwrap();
    fs::write(policies.join("tpmssh.json"), policy.to_string()).unwrap();
}

/// Chromium with the directory `chromium` of `home` in the place of `/etc/chromium`, in a process
/// namespace that ends with it, for three minutes at most.
fn chromium(home: &Home) -> Command {
    let mut command = home.command("timeout");
    command.args(["--kill-after=5", "180", "setpriv", "--pdeathsig", "KILL"]);
    command.args(["unshare", "--mount", "--pid", "--fork", "--kill-child"]);
    command.arg("--mount-proc");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    let inside = r#"mount --bind "$HOME/chromium" /etc/chromium && exec chromium "$@""#;
    command
        .args(["sh", "-c", inside, "sh"])
        .args(["--no-sandbox", "--disable-gpu", "--disable-quic"])
        .args(["--no-first-run", "--disable-background-networking"])
        .args(["--disable-component-update", "--disable-sync"])
        .args(["--password-store=basic", "--disable-dev-shm-usage"])
        .arg(format!("--user-data-dir={}", file(home, "browser")))
        // The files that it leaves when it is killed are removed with the home.
        .env("TMPDIR", file(home, "run"))
        .env("DBUS_SESSION_BUS_ADDRESS", "disabled:");
    command
}

#[test]
fn a_browser_without_a_window_uses_a_token_without_a_pin() {
    let program = Program::new();
    let init = ["token", "init", "--label", "work", "--pin-wall", "none"];
    program
        .run(&[&init[..], &["--so-pin-file", &program.so_pin]].concat())
        .ok();
    for label in ["ecdsa", "rsa"] {
        program.run(&["keygen", "-t", label, "--label", label]).ok();
    }
    let authority = prepare(&program, &["ecdsa", "rsa"], &[]);
    let home = &program.home;
    for (label, version, spoken) in [
        ("ecdsa", "-tls1_3", "TLSv1.3"),
        ("rsa", "-tls1_3", "TLSv1.3"),
        ("rsa", "-tls1_2", "TLSv1.2"),
    ] {
        let server = WebServer::start(home, &authority, version);
        choose(home, &server, label);
        let mut browser = chromium(home);
        browser.args(["--headless", "--dump-dom"]);
        browser.arg(format!("https://127.0.0.1:{}/", server.port()));
        server.assert_page(&ok(&mut browser), &format!("CN={label}"), spoken);
    }
}

#[test]
fn a_browser_with_a_window_asks_for_the_pin() {
    let program = Program::with_key();
    let home = &program.home;
    let authority = prepare(&program, &["first"], &["--pin-file", &program.pin]);
    let page = "<title>let in</title>";
    write(home, "page.html", page);
    let server = WebServer::with_page(home, &authority, &["-WWW"]);
    choose(home, &server, "first");
    let display = Display::start();
    let mut browser = chromium(home);
    browser.arg(format!("https://127.0.0.1:{}/page.html", server.port()));
    browser.stdout(Stdio::null()).stderr(Stdio::null());
    let mut browser = Running(display.show(&mut browser).spawn().unwrap());

    let xdotool = |args: &[&str]| {
        let mut command = home.command("xdotool");
        display.show(command.args(args)).output().unwrap()
    };
    // Until one of the windows that xdotool finds has this title.
    let mut wait = |find: &[&str], title: &str| {
        let deadline = Instant::now() + Duration::from_secs(150);
        let found = || String::from_utf8(xdotool(find).stdout).unwrap();
        while !found().lines().any(|name| name == title) {
            let ended = browser.0.try_wait().unwrap();
            assert!(ended.is_none(), "chromium has ended: {ended:?}");
            assert!(Instant::now() < deadline, "no window \"{title}\"");
            thread::sleep(Duration::from_millis(20));
        }
    };
    // What is typed before it has the focus is lost.
    let focus = ["getwindowfocus", "getwindowname"];
    wait(&focus, "Unlock Security Device");
    assert!(xdotool(&["type", "--delay", "20", PIN]).status.success());
    assert!(xdotool(&["key", "Return"]).status.success());
    let any = ["search", "--name", ".", "getwindowname", "%@"];
    wait(&any, "let in - Chromium");
}

/// A browser, all of whose processes have ended when this is dropped. Otherwise one could write into
/// the home while it is removed.
struct Running(Child);

impl Running {
    /// The first process of its namespace, with which all others of the namespace end. `timeout` is
    /// the parent of `unshare`, and that of this process.
    fn first(&self) -> Option<Pid> {
        let child = |pid: Pid| {
            let pid = pid.as_raw_nonzero();
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
            Pid::from_raw(children.split_whitespace().next()?.parse().ok()?)
        };
        child(child(Pid::from_child(&self.0))?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let killed = self
            .first()
            .is_some_and(|first| kill_process(first, Signal::KILL).is_ok());
        if !killed {
            // The process is not started yet, or has ended.
            let _ = self.0.kill();
        }
        let _ = self.0.wait();
    }
}
