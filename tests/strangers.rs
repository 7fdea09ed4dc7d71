//! Wrong TPMs: none at all, an old one, a full one, a twin.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use testing::{Abrmd, Home, Tap, module};

use crate::program::{Outcome, Program, text, tpmssh};
use crate::raw;

/// A server that answers everything with the same bytes; its port. It ends with the tests.
fn server(answer: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let _ = client.read(&mut [0; 4096]);
            let _ = client.write_all(answer);
        }
    });
    port
}

#[test]
fn what_is_no_tpm_is_told_from_an_old_one() {
    let http = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    // TPM_TAG_RSP_COMMAND, 10 bytes, TPM_BADTAG: what a TPM 1.2 answers to commands of 2.0.
    let old = b"\x00\xc4\x00\x00\x00\x0a\x00\x00\x00\x1e";
    for (answer, error) in [
        (
            &http[..],
            "tpmssh: malformed response length\n\
             hint: what answers there is no TPM: see --tcti in tpmssh --help\n",
        ),
        (
            old,
            "tpmssh: this is a TPM 1.2, and not a TPM 2.0\n\
             hint: see in the firmware setup whether it can be switched to TPM 2.0\n",
        ),
    ] {
        let home = Home::with_tcti(format!("swtpm:host=127.0.0.1,port={}", server(answer)));
        Outcome::of(tpmssh(&home).args(["tpm", "info"])).fails(5, error);
        let doctor = Outcome::of(tpmssh(&home).arg("doctor"));
        assert_eq!(doctor.code, Some(5), "{doctor:#?}");
    }
}

/// The module shows its slots without a TPM; what needs one says that it is not there.
#[test]
fn the_module_shows_its_slots_without_a_tpm() {
    let mut program = Program::with_key();
    program.swtpm.stop();
    let tool = |args: &[&str]| {
        let mut tool = program.home.command("pkcs11-tool");
        Outcome::of(tool.arg("--module").arg(module()).args(args))
    };
    assert!(tool(&["-L"]).ok().contains("work"));
    assert!(tool(&["-O"]).ok().contains("Public Key Object"));
    let login = tool(&["--login", "--pin", crate::program::PIN, "-O"]);
    assert!(
        login.code != Some(0) && login.stderr.contains("CKR_DEVICE_REMOVED"),
        "{login:#?}"
    );
}

/// A chip whose room for keys is taken: the storage root key is made anew for each use.
#[test]
fn a_chip_without_room_for_a_storage_root_key() {
    let program = Program::new();
    raw::fill_nv(&program.swtpm);
    raw::fill_persistent(&program.swtpm);
    let owned = program.run(&["tpm", "take-ownership", "--no-passwords", "--yes"]);
    let note = "note              the TPM has no room to keep it and makes it anew for each use\n";
    assert!(owned.ok().contains(note));
    let wall = ["--pin-wall", "lockout"];
    let pins = ["--pin-file", &program.pin, "--so-pin-file", &program.so_pin];
    program
        .run(&[&["token", "init"], &pins[..], &wall].concat())
        .ok();
    program.keygen("made below it");
    let doctor = program.run(&["doctor", "--pin-file", &program.pin]);
    assert_eq!(doctor.code, Some(0), "{doctor:#?}");
    let said = crate::doctor::unwrapped(&doctor.stdout);
    for line in [
        "ok       storage root key      none, and no room to keep one: it is made anew for each use\n",
        "none with the ROCA weakness; room for 0 more\n",
        "1 key, loaded and whole, born here, cannot leave\n",
    ] {
        assert!(said.contains(line), "{line}\nis not in\n{said}");
    }
}

/// The same template but for one attribute: a wrong password for it would count.
#[test]
fn a_twin_of_the_storage_root_key_is_another_key() {
    let program = Program::with_key();
    let store = program.home.store().join("store.db");
    let before = fs::read(&store).unwrap();
    raw::remove_srk(&program.swtpm);
    raw::twin_of_srk(&program.swtpm);
    program.run(&["keygen", "--pin-file", &program.pin]).fails(
        6,
        "tpmssh: the token belongs to another TPM, or this TPM has been cleared\n\
         hint: its keys work in the TPM they were made in and nowhere else; make new ones with: tpmssh token init\n",
    );
    let mut tool = program.home.command("pkcs11-tool");
    let pin = crate::program::PIN;
    let login = ["--login", "--pin", pin, "-O"];
    let refused = Outcome::of(tool.arg("--module").arg(module()).args(login));
    assert!(
        refused.stderr.contains("CKR_TOKEN_NOT_RECOGNIZED"),
        "{refused:#?}"
    );
    assert_eq!(fs::read(&store).unwrap(), before, "the store was touched");
}

/// `TPM2_PolicySecret`, by which a PIN is proven to its counter.
const POLICY_SECRET: u32 = 0x151;

/// A wrong PIN is sent once, by the program and by the module, and to no other token.
#[test]
fn a_failed_login_is_one_try_of_one_token() {
    let mut program = Program::new();
    program.init("work");
    program.init("play");
    let tap = Tap::start(&program.swtpm);
    program.home.set_tcti(tap.tcti());
    let tries = || {
        tap.reset();
        let list = program.run(&["token", "list", "--json"]).ok();
        assert_eq!(tap.count(), 0, "listing asks the TPM nothing");
        let list: serde_json::Value = serde_json::from_str(&list).unwrap();
        [&list[0]["tries_left"], &list[1]["tries_left"]].map(|left| left.as_u64().unwrap())
    };
    let proofs = || {
        let sent = tap.commands();
        sent.iter().filter(|&&code| code == POLICY_SECRET).count()
    };
    assert_eq!(tries(), [3, 3]);
    let wrong = program.secret("wrong", "incorrect horse");
    tap.reset();
    let keygen = program.run(&["--token", "work", "keygen", "--pin-file", &wrong]);
    assert_eq!((keygen.code, proofs()), (Some(3), 1));
    assert_eq!(tries(), [2, 3]);

    tap.reset();
    let mut tool = program.home.command("pkcs11-tool");
    let login = [
        "--token-label",
        "work",
        "--login",
        "--pin",
        "wrong again",
        "-O",
    ];
    let refused = Outcome::of(tool.args(["--module", &text(module())]).args(login));
    assert!(refused.stderr.contains("CKR_PIN_INCORRECT"), "{refused:#?}");
    assert_eq!(proofs(), 1);
    assert_eq!(tries(), [1, 3]);
}

/// 64 sessions that another program has, and nobody but it can end.
#[test]
fn a_chip_whose_sessions_are_taken() {
    let program = Program::with_token();
    let sessions = raw::exhaust_sessions(&program.swtpm);
    assert_eq!(sessions.len(), 64);
    let keygen = || program.run(&["keygen", "--pin-file", &program.pin]);
    keygen().fails(
        10,
        "tpmssh: the TPM has no free slot for another object or session\n\
         hint: try again when the other program is done\n",
    );
    // Three are needed at once.
    for &session in &sessions[..3] {
        raw::flush(&program.swtpm, session);
    }
    keygen().ok();
}

/// No bus, and a bus without a manager: one line and a hint, and nothing that libraries print.
#[test]
fn a_resource_manager_that_is_not_there() {
    let mut program = Program::with_key();
    let mut abrmd = Abrmd::start(&program.swtpm);
    program.home.set_tcti(abrmd.tcti());
    let keygen = |bus: &str| {
        let mut keygen = program.command();
        keygen.env("DBUS_SESSION_BUS_ADDRESS", bus);
        Outcome::of(keygen.args(["keygen", "--pin-file", &program.pin]))
    };
    let module = |bus: &str| {
        let mut tool = program.home.command("pkcs11-tool");
        tool.env("DBUS_SESSION_BUS_ADDRESS", bus);
        let login = ["--login", "--pin", crate::program::PIN, "-O"];
        Outcome::of(tool.arg("--module").arg(module()).args(login))
    };
    let bus = abrmd.bus_address();
    keygen(&bus).ok();
    module(&bus).ok();
    abrmd.kill();
    let nothing = "unix:path=/nonexistent/bus";
    for (bus, why) in [
        (bus.as_str(), "the message bus has no resource manager"),
        (nothing, "No such file or directory (os error 2)"),
    ] {
        keygen(bus).fails(
            5,
            &format!(
                "tpmssh: no TPM at {}: {why}\n\
                 hint: start it with: sudo systemctl start tpm2-abrmd\n",
                abrmd.tcti()
            ),
        );
        let refused = module(bus);
        assert!(
            refused.stderr.contains("CKR_DEVICE_REMOVED"),
            "{refused:#?}"
        );
        for noise in ["CRITICAL", "ERROR:tcti"] {
            assert!(!refused.stderr.contains(noise), "{refused:#?}");
        }
    }
}

/// The TCG's simulator has a protocol of its own, which is not spoken.
#[test]
fn a_simulator_that_is_not_supported() {
    let home = Home::with_tcti("mssim:host=127.0.0.1,port=1");
    Outcome::of(tpmssh(&home).args(["tpm", "info"])).fails(
        2,
        "tpmssh: unusable TPM connection \"mssim:host=127.0.0.1,port=1\": mssim: is not supported; \
         use swtpm: for a simulated TPM\n\
         hint: it looks like device:/dev/tpmrm0, tabrmd: or swtpm:host=127.0.0.1,port=2321\n",
    );
}
