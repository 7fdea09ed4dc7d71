//! `cargo xtask package-test`: the Debian packages on each clean Debian, booted with its own systemd.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::command::{self, root, target};
use crate::dist::{self, Dist};
use crate::distro::check_mirror;
use crate::packages::{self, For};
use crate::unavailable::Unavailable;

/// The releases of Debian that the packages are for.
const SUITES: [&str; 2] = ["bookworm", "trixie"];

/// Packages that the steps need and tpmssh's package does not depend on: system services, and
/// programs that use tpmssh.
const PACKAGES: &str = "systemd-sysv,dbus,dbus-user-session,libpam-systemd,openssh-server,\
     openssh-client,curl,git,opensc,swtpm,swtpm-tools,procps,ca-certificates";

/// The unit that runs the steps and then switches the container off.
const UNIT: &str = "\
[Unit]
Description=The life of the package
After=multi-user.target

[Service]
Type=oneshot
ExecStart=/root/inside.sh
ExecStopPost=/bin/sh -c 'echo result: $SERVICE_RESULT'
ExecStopPost=/bin/systemctl poweroff
StandardOutput=append:/root/output
StandardError=inherit
";

/// How long all steps may take.
const PATIENCE: Duration = Duration::from_secs(900);

/// How long a container without steps may take from its start to its end.
const PATIENCE_OF_A_BOOT: Duration = Duration::from_secs(120);

/// Builds the packages, or takes those that are named, and runs the steps with them.
///
/// # Errors
///
/// If a step fails, or no container can be made.
pub(crate) fn run(args: &[OsString]) -> Result<()> {
    packages::install_missing(For::All)?;
    check_user()?;
    let dist = match args {
        [] => dist::build()?,
        [deb, ca] => Dist {
            deb: deb.into(),
            ca: ca.into(),
        },
        _ => bail!("package-test takes the packages of tpmssh and of tpmssh-ca, or nothing"),
    };
    live_with(&dist)
}

/// The same with packages of what `cargo build --release` made.
///
/// # Errors
///
/// As for [`run`]. [`Unavailable`] if this machine lacks something for it.
pub(crate) fn of_release() -> Result<()> {
    check_user()?;
    live_with(&dist::pack(&target()?.join("release"))?)
}

fn check_user() -> Result<(), Unavailable> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(Unavailable(
        "this boots a container, which only root can: sudo env \"PATH=$PATH\" cargo xtask package-test"
            .into(),
    ))
}

/// Installs the packages in each clean Debian and goes through all steps. The clean ones are made at the same time, because that waits for a mirror.
fn live_with(dist: &Dist) -> Result<()> {
    lint(&dist.deb)?;
    lint(&dist.ca)?;
    let work = tempfile::Builder::new().prefix("tpmssh-root-").tempdir()?;
    let live = |suite: &&str| {
        let tree = work.path().join(suite).join("root");
        live_in(&tree, suite, dist).with_context(|| format!("the packages in {suite}"))
    };
    thread::scope(|scope| {
        let lives: Vec<_> = SUITES
            .iter()
            .map(|suite| scope.spawn(move || live(suite)))
            .collect();
        let mut ends = lives.into_iter().map(ScopedJoinHandle::join);
        ends.try_for_each(|end| end.unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

/// Installs the packages in the clean Debian `suite`, which is made in `tree`, and goes through all steps.
fn live_in(tree: &Path, suite: &str, dist: &Dist) -> Result<()> {
    fs::create_dir_all(tree)?;
    let clean = clean_root(suite)?;
    command::run(
        Command::new("tar")
            .arg("-C")
            .arg(tree)
            .arg("-xf")
            .arg(clean),
    )?;
    check_boots(tree)?;
    furnish(tree, dist)?;
    fetch_dependencies(tree)?;
    let outcome = boot(tree, &[], PATIENCE);
    let output = fs::read_to_string(tree.join("root/output")).unwrap_or_default();
    print!("{suite}:\n{output}");
    let status = outcome?;
    ensure!(
        status.success(),
        "systemd-nspawn ended with {status}: {}",
        console(tree)
    );
    judge(&output).with_context(|| console(tree))
}

/// Whether this is the output of steps that were all done. No output is a failure too: that a
/// container boots here was seen before.
fn judge(output: &str) -> Result<()> {
    ensure!(
        !output.is_empty(),
        "the container ended before the first step"
    );
    ensure!(
        output.contains("result: success") && output.contains(" passed, 0 failed"),
        "the package does not do what it should"
    );
    Ok(())
}

/// Boots the clean Debian to its end, without the package and the steps.
///
/// # Errors
///
/// [`Unavailable`] if this machine gives no container what systemd needs: namespaces, mounts, control
/// groups.
fn check_boots(tree: &Path) -> Result<()> {
    // systemd's own name for the target that it starts: here, to switch off.
    let status = boot(tree, &["systemd.unit=poweroff.target"], PATIENCE_OF_A_BOOT)?;
    if status.success() {
        return Ok(());
    }
    let said = console(tree);
    Err(Unavailable(format!("no container boots here ({status}): {said}")).into())
}

/// The output of the container on its console.
fn console(tree: &Path) -> String {
    let said = fs::read_to_string(tree.with_file_name("console")).unwrap_or_default();
    said.trim().to_owned()
}

/// Refuses a package with an error of lintian's.
fn lint(deb: &Path) -> Result<()> {
    let output = Command::new("lintian")
        .args(["--allow-root", "--fail-on", "error"])
        .arg(deb)
        .output()
        .context("cannot start lintian")?;
    let text = String::from_utf8_lossy(&output.stdout);
    print!("{text}");
    ensure!(output.status.success(), "lintian finds errors");
    Ok(())
}

/// A tar file with a Debian of these packages; made once.
fn clean_root(suite: &str) -> Result<PathBuf> {
    let tar = root().join(format!("target/roots/{suite}-packages.tar"));
    if !tar.exists() {
        check_mirror(suite)?;
        fs::create_dir_all(tar.parent().context("it is in no directory")?)?;
        let part = tar.with_extension("part.tar");
        command::run(
            Command::new("mmdebstrap")
                .arg("--variant=minbase")
                .arg(format!("--include={PACKAGES}"))
                .args(["--aptopt=APT::Install-Recommends false", suite])
                .arg(&part),
        )
        .context("no clean Debian can be made here")?;
        fs::rename(part, &tar)?;
    }
    Ok(tar)
}

/// Copies the packages, the steps and the unit that runs them into a root.
fn furnish(tree: &Path, dist: &Dist) -> Result<()> {
    let home = tree.join("root");
    fs::copy(&dist.deb, home.join("tpmssh.deb"))?;
    fs::copy(&dist.ca, home.join("tpmssh-ca.deb"))?;
    fs::copy(
        root().join("packaging/test/inside.sh"),
        home.join("inside.sh"),
    )?;
    fs::write(tree.join("etc/hosts"), "127.0.0.1 localhost\n")?;
    let units = tree.join("etc/systemd/system");
    fs::write(units.join("package-life.service"), UNIT)?;
    let wants = units.join("multi-user.target.wants");
    fs::create_dir_all(&wants)?;
    symlink(
        units_path("package-life.service"),
        wants.join("package-life.service"),
    )?;
    // The steps install the package themselves, so that no file of it is there before.
    let _ = fs::remove_file(wants.join("ssh.service"));
    Ok(())
}

/// Downloads the dependencies of the packages, because the container has no network.
fn fetch_dependencies(tree: &Path) -> Result<()> {
    let resolver = tree.join("etc/resolv.conf");
    let before = fs::read(&resolver).ok();
    fs::copy("/etc/resolv.conf", &resolver).context("this machine has no resolver")?;
    for words in [
        &["update"][..],
        &[
            "-y",
            "--download-only",
            "install",
            "/root/tpmssh.deb",
            "/root/tpmssh-ca.deb",
        ],
    ] {
        let mut apt = Command::new("chroot");
        apt.arg(tree).args(["apt-get", "-qq"]).args(words);
        command::run(apt.args(["-o", "APT::Keep-Downloaded-Packages=true"]))?;
    }
    match before {
        Some(before) => fs::write(&resolver, before)?,
        None => fs::remove_file(&resolver)?,
    }
    Ok(())
}

fn units_path(name: &str) -> PathBuf {
    Path::new("/etc/systemd/system").join(name)
}

/// A name of its own for a root: that of the temporary directory and the release.
fn machine(tree: &Path) -> String {
    let parts = tree.iter().rev().skip(1).take(2);
    let parts: Vec<_> = parts.map(|part| part.to_string_lossy()).collect();
    parts.join("-").replace(['.', '_'], "-")
}

/// Held by the container that runs: two would be in one control group, and each would end the processes of the other.
static TURN: Mutex<()> = Mutex::new(());

/// Boots a root, with arguments for its systemd, and waits until it switches itself off. Returns how
/// systemd-nspawn ended.
///
/// # Errors
///
/// If systemd-nspawn cannot be started, or does not end in time.
fn boot(tree: &Path, args: &[&str], patience: Duration) -> Result<ExitStatus> {
    let mut command = Command::new("systemd-nspawn");
    command
        .args([
            "--quiet",
            "--register=no",
            "--keep-unit",
            "--console=pipe",
            "--private-network",
            "--boot",
        ])
        .arg("--machine")
        .arg(machine(tree))
        .arg("--directory")
        .arg(tree)
        .args(args)
        .env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1")
        .stdin(Stdio::null());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    eprintln!("$ {}", command::line(&command));
    let log = fs::File::create(tree.with_file_name("console"))?;
    command.stdout(log.try_clone()?).stderr(log);
    let mut child = command.spawn().context("cannot start systemd-nspawn")?;
    let end = Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() > end {
            // systemd-nspawn passes the signal on as an order to switch off.
            command::run(Command::new("kill").arg(child.id().to_string()))?;
            std::thread::sleep(Duration::from_secs(10));
            child.kill()?;
            child.wait()?;
            bail!("the container ran longer than {} s", patience.as_secs());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_that_say_nothing_or_not_all_are_a_failure() {
        let all = "ok: a\n1 passed, 0 failed\nresult: success\n";
        judge(all).expect("all steps were done");
        for (output, said) in [
            ("", "the container ended before the first step"),
            (
                "ok: a\nFAILED: b\nresult: exit-code\n",
                "the package does not do what it should",
            ),
            (
                "ok: a\nresult: success\n",
                "the package does not do what it should",
            ),
            (
                "1 passed, 0 failed\n",
                "the package does not do what it should",
            ),
        ] {
            let err = judge(output).expect_err(output);
            assert!(!err.is::<Unavailable>(), "{output}");
            assert_eq!(err.to_string(), said);
        }
    }
}
