//! Ctrl-C while a slow chip makes an RSA key.

use std::{
    io::Read,
    os::unix::process::ExitStatusExt,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use testing::{Chip, Home, Pace, State, Zoo, end_of, eventually};

use crate::program::{Outcome, PIN, SO_PIN, text, tpmssh};

const CREATE: u32 = 0x153;

/// A Nuvoton NPCT65x at a tenth of its longest time, 11 s for an RSA key, with a token.
fn slow() -> (Zoo, Home, String) {
    let zoo = Zoo::at_pace(
        Chip::named("ntc-1.3.0.1"),
        &[State::Systemd],
        Pace::Slowest(0.1),
    );
    let home = Home::with_tcti(zoo.tcti());
    let pin = text(home.secret_file("pin", PIN));
    let so_pin = text(home.secret_file("so-pin", SO_PIN));
    let init = [
        "token",
        "init",
        "--pin-file",
        &pin,
        "--so-pin-file",
        &so_pin,
    ];
    Outcome::of(tpmssh(&home).args(init)).ok();
    (zoo, home, pin)
}

/// A keygen whose chip has begun to make the key.
fn making(zoo: &Zoo, home: &Home, pin: &str) -> Child {
    zoo.tap().reset();
    let keygen = tpmssh(home)
        .args(["keygen", "-t", "rsa", "--pin-file", pin])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    eventually(|| zoo.tap().commands().contains(&CREATE));
    thread::sleep(Duration::from_millis(200));
    keygen
}

fn interrupt(child: &Child) {
    let pid = Pid::from_child(child);
    kill_process(pid, Signal::INT).unwrap();
}

fn ended(mut child: Child) -> (Option<i32>, String) {
    let status = end_of(&mut child);
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    (status.signal(), said)
}

#[test]
fn an_interrupted_key_leaves_nothing_in_the_chip_and_in_the_store() {
    let (zoo, home, pin) = slow();
    let keygen = making(&zoo, &home, &pin);
    interrupt(&keygen);
    assert_eq!(
        ended(keygen),
        (
            Some(2),
            "tpmssh: the TPM makes an rsa2048 key; this can take minutes\n\
             tpmssh: stopping when the TPM has finished (Ctrl-C: at once)\n\
             tpmssh: interrupted; no key was made\n"
                .to_owned()
        )
    );
    assert_eq!(zoo.left_over(), [0_u32; 0]);
    let listed = Outcome::of(tpmssh(&home).arg("list-objects"));
    assert!(!listed.stdout.contains("rsa"), "{listed:?}");
}

#[test]
fn a_second_signal_does_not_wait() {
    let (zoo, home, pin) = slow();
    let keygen = making(&zoo, &home, &pin);
    let start = Instant::now();
    interrupt(&keygen);
    thread::sleep(Duration::from_millis(300));
    interrupt(&keygen);
    let (signal, said) = ended(keygen);
    assert_eq!(signal, Some(2));
    assert!(
        said.ends_with("tpmssh: interrupted; no key was made\n"),
        "{said}"
    );
    assert!(start.elapsed() < Duration::from_secs(5), "at once");
    // The killed command may leave objects in the chip. The next one frees them if the chip is full.
    Outcome::of(tpmssh(&home).args(["keygen", "-C", "next", "--pin-file", &pin])).ok();
}
