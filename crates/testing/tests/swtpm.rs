//! The simulator starts, stops, keeps its state, and goes.

mod tpm;

use std::{collections::HashSet, path::Path, time::Duration};

use testing::Swtpm;
use tpm::Client;

/// An arbitrary NV index of the owner's range.
const INDEX: u32 = 0x0180_1234;

#[test]
fn each_swtpm_is_a_tpm_of_its_own() {
    let all: Vec<Swtpm> = (0..5).map(|_| Swtpm::start()).collect();
    let tctis: HashSet<String> = all.iter().map(Swtpm::tcti).collect();
    assert_eq!(tctis.len(), 5);
    Client::of(&all[0]).define_nv(INDEX);
    assert!(Client::of(&all[0]).has_nv(INDEX));
    assert!(!Client::of(&all[1]).has_nv(INDEX));
}

#[test]
fn state_survives_stop_kill_and_restart_on_the_same_port() {
    let mut swtpm = Swtpm::start();
    let tcti = swtpm.tcti();
    Client::of(&swtpm).define_nv(INDEX);

    swtpm.stop();
    assert!(Client::try_connect(swtpm.port()).is_err());
    swtpm.restart();
    assert_eq!(swtpm.tcti(), tcti);
    assert!(Client::of(&swtpm).has_nv(INDEX));

    let before = swtpm.pid();
    swtpm.kill();
    assert_eq!(swtpm.pid(), None);
    assert!(Client::try_connect(swtpm.port()).is_err());
    swtpm.restart();
    assert_ne!(swtpm.pid(), before);
    assert!(Client::of(&swtpm).has_nv(INDEX));
}

/// The TPM counts resets that followed an orderly shutdown in another way: `Clock` is then safe.
#[test]
fn stop_is_orderly_and_kill_is_not() {
    let mut swtpm = Swtpm::start();
    swtpm.stop();
    swtpm.restart();
    assert!(Client::of(&swtpm).clock_is_safe());
    swtpm.kill();
    swtpm.restart();
    assert!(!Client::of(&swtpm).clock_is_safe());
}

/// A snapshot brings the state back and none of the randomness that followed it.
#[test]
fn a_snapshot_is_gone_back_to() {
    let swtpm = Swtpm::start();
    Client::of(&swtpm).define_nv(INDEX);
    let snapshot = swtpm.snapshot();
    let random = |swtpm: &Swtpm| {
        let mut client = Client::of(swtpm);
        let reply = client.call(0x8001, tpm::GET_RANDOM, b"\0\x10");
        reply.expect("it answers")[12..].to_vec()
    };
    let mut seen = HashSet::new();
    for round in 0..3 {
        assert!(seen.insert(random(&swtpm)), "round {round}");
        Client::of(&swtpm).define_nv(INDEX + 1);
        swtpm.rewind(&snapshot);
        assert!(Client::of(&swtpm).has_nv(INDEX), "round {round}");
        assert!(!Client::of(&swtpm).has_nv(INDEX + 1), "round {round}");
    }
}

/// `restartCount` counts resumes since the last reset (part 1, section 36.5).
#[test]
fn a_suspended_tpm_goes_on_from_its_state() {
    let mut swtpm = Swtpm::start();
    let restarts = |swtpm: &Swtpm| {
        let clock = Client::of(swtpm).read_clock().expect("it answers");
        u32::from_be_bytes(clock[30..34].try_into().expect("4 bytes"))
    };
    assert_eq!(restarts(&swtpm), 0);
    swtpm.suspend_and_resume();
    assert_eq!(restarts(&swtpm), 1);
    swtpm.restart();
    assert_eq!(restarts(&swtpm), 0);
}

#[test]
fn a_paused_tpm_accepts_and_does_not_answer_until_resumed() {
    let swtpm = Swtpm::start();
    swtpm.pause();
    let mut client = Client::of(&swtpm);
    client.send_read_clock();
    assert!(!client.answered_within(Duration::from_millis(100)));
    swtpm.resume();
    assert!(client.answered_within(Duration::from_secs(10)));
}

#[test]
fn a_paused_tpm_can_be_stopped_and_dropped() {
    let mut swtpm = Swtpm::start();
    swtpm.pause();
    swtpm.stop();
    swtpm.restart();
    swtpm.pause();
}

#[test]
fn a_dropped_swtpm_leaves_neither_process_nor_directory() {
    let swtpm = Swtpm::start();
    let process = format!("/proc/{}", swtpm.pid().expect("it runs"));
    let dir = swtpm.state_dir().to_owned();
    assert!(Path::new(&process).exists());
    assert!(dir.read_dir().expect("it is a directory").count() > 0);
    drop(swtpm);
    assert!(!Path::new(&process).exists());
    assert!(!dir.exists());
}

#[test]
fn a_manufactured_tpm_has_its_endorsement_keys_and_certificates() {
    let swtpm = Swtpm::manufactured();
    let mut client = Client::of(&swtpm);
    assert_eq!(client.handles(0x8101_0000), [0x8101_0001, 0x8101_0016]);
    for index in [0x01C0_0002, 0x01C0_0016, 0x01C0_8000] {
        assert!(client.has_nv(index), "{index:#x}");
    }
    // Each is a copy: what one does the next does not see.
    client.define_nv(INDEX);
    drop(client);
    assert!(!Client::of(&Swtpm::manufactured()).has_nv(INDEX));
    assert!(!Client::of(&Swtpm::start()).has_nv(0x01C0_0002));
}
