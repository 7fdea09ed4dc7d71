//! Chips whose hierarchies, handles or NV indexes were changed.

use super::{Files, manufactured};
use crate::program::{Outcome, Program};
use crate::raw;

/// `TPM_RH_ENDORSEMENT`.
const ENDORSEMENT: u32 = 0x4000_000b;

/// Runs one of tpm2-tools in the home.
#[track_caller]
fn tool(program: &Program, name: &str, args: &[&str]) {
    let mut tool = program.home.command(name);
    tool.current_dir(program.home.path());
    tool.args(["-Q", "-T", &program.swtpm.tcti()]);
    Outcome::of(tool.args(args)).ok();
}

fn ask(program: &Program, files: &Files, ek_type: &str) -> Outcome {
    program.run(&["prove", "first", "--ek-type", ek_type, "-o", &files.request])
}

#[test]
fn a_disabled_endorsement_hierarchy_is_named() {
    let disabled = "tpmssh: the endorsement hierarchy is disabled\n\
                    hint: restart the machine; if it stays so, switch the hierarchy on in the firmware setup\n";
    // With endorsement keys at persistent handles, and without.
    for program in [manufactured(), Program::with_key()] {
        let files = Files::of(&program);
        raw::disable(&program.swtpm, ENDORSEMENT);
        for ek_type in ["rsa2048", "ecc-p384"] {
            ask(&program, &files, ek_type).fails(5, disabled);
        }
    }
    // Between the request and the answer.
    let program = manufactured();
    let files = Files::of(&program);
    files.ask(&program, &[]);
    files.challenge(&program);
    raw::disable(&program.swtpm, ENDORSEMENT);
    files.answer(&program).fails(5, disabled);
}

#[test]
fn something_else_at_the_handle_of_an_endorsement_key_is_not_taken_for_one() {
    let program = Program::with_key();
    let files = Files::of(&program);
    tool(
        &program,
        "tpm2_createprimary",
        &["-C", "o", "-c", "other.ctx"],
    );
    let evict = ["-C", "o", "-c", "other.ctx", "0x81010016"];
    tool(&program, "tpm2_evictcontrol", &evict);
    tool(&program, "tpm2_flushcontext", &["-t"]);
    // The endorsement key is made anew for each use.
    for ek_type in ["ecc-p384", "rsa2048"] {
        ask(&program, &files, ek_type).ok();
        files.challenge(&program);
        files.answer(&program).ok();
        let verify = ["verify-proof", &files.proof, "--any-tpm"];
        program.run(&verify).ok();
    }
    // It is not shown as an endorsement key, either.
    program.run(&["ek", "show"]).fails(
        12,
        "tpmssh: this TPM has no persistent endorsement key\n\
         hint: make one with: tpmssh tpm create-ek\n",
    );
}

#[test]
fn without_the_makers_certificate_the_tpm_is_named_by_its_ek() {
    let program = manufactured();
    let files = Files::of(&program);
    tool(&program, "tpm2_nvundefine", &["-C", "p", "0x01c00016"]);
    let asked = ask(&program, &files, "ecc-p384");
    assert!(!asked.stderr.contains("maker's certificate"), "{asked:?}");
    asked.ok();
    files.challenge(&program);
    files.answer(&program).ok();
    let verify = ["verify-proof", &files.proof];
    let roots = ["--ek-roots", &files.roots];
    program.run(&[&verify[..], &roots].concat()).fails(
        8,
        "tpmssh: proof refused: this TPM has no maker's certificate\n",
    );
    let shown = program.run(&["ek", "export"]).ok();
    let p384 = shown.lines().find(|line| line.ends_with(" ecc-p384"));
    let name = p384.unwrap().split(' ').next().unwrap();
    let by_name = program.run(&[&verify[..], &["--ek", name]].concat()).ok();
    assert!(by_name.contains("(mode B)"), "{by_name}");
}

/// An NV index where the certificate of the endorsement key on P-384 should be.
struct Index {
    attributes: &'static str,
    password: &'static str,
    contents: Option<&'static [u8]>,
    is_locked: bool,
}

impl Index {
    /// An index as makers define it, with `contents`.
    const fn open(contents: Option<&'static [u8]>) -> Self {
        Self {
            attributes: "authread|authwrite|ownerread|ownerwrite|read_stclear|no_da",
            password: "",
            contents,
            is_locked: false,
        }
    }

    fn put(&self, program: &Program) {
        const AT: &str = "0x01c00016";
        tool(program, "tpm2_nvundefine", &["-C", "p", AT]);
        let size = self.contents.map_or(800, <[u8]>::len).to_string();
        let args = ["-C", "o", "-s", &size, "-a", self.attributes];
        let password = ["-p", self.password, AT];
        tool(program, "tpm2_nvdefine", &[&args[..], &password].concat());
        if let Some(contents) = self.contents {
            let file = program.home.path().join("contents");
            std::fs::write(&file, contents).unwrap();
            let file = crate::program::text(file);
            tool(program, "tpm2_nvwrite", &["-C", "o", "-i", &file, AT]);
        }
        if self.is_locked {
            tool(program, "tpm2_nvreadlock", &["-C", "o", AT]);
        }
    }
}

/// The proof then has no certificate, another key with a certificate is preferred, and no password is guessed.
#[test]
fn an_index_without_a_readable_certificate_ends_no_proof() {
    let unreadable = "NV index that cannot be read";
    let warning = "NV index 0x01c00016 cannot be read";
    let some = Some(&b"0\x82\0\x05bytes"[..]);
    for (what, index, shown, doctor) in [
        ("never written", Index::open(None), "no certificate", ""),
        (
            "erased",
            Index::open(Some(&[0xff; 700])),
            "certificate that cannot be read",
            "NV index 0x01c00016 has 700 bytes that are no certificate",
        ),
        (
            "with a password",
            Index {
                password: "secret",
                ..Index::open(some)
            },
            unreadable,
            warning,
        ),
        (
            "with a password whose wrong tries count",
            Index {
                attributes: "authread|ownerread|ownerwrite",
                password: "secret",
                ..Index::open(some)
            },
            unreadable,
            warning,
        ),
        (
            "for its owner alone",
            Index {
                attributes: "ownerread|ownerwrite|no_da",
                ..Index::open(some)
            },
            unreadable,
            warning,
        ),
        (
            "locked",
            Index {
                is_locked: true,
                ..Index::open(some)
            },
            unreadable,
            warning,
        ),
    ] {
        let program = manufactured();
        let files = Files::of(&program);
        index.put(&program);
        let told = program.run(&["ek", "show"]).ok();
        let state = told
            .lines()
            .skip_while(|line| !line.contains("ecc-p384"))
            .find_map(|line| line.strip_prefix("certificate"));
        assert_eq!(state.map(str::trim), Some(shown), "{what}: {told}");
        let checked = program.run(&["doctor"]);
        let checked: Vec<_> = checked.stdout.split_whitespace().collect();
        let checked = checked.join(" ");
        assert!(checked.contains(doctor), "{what}: {checked}");
        // Another key's certificate is taken, if any key will do.
        let asked = program.run(&["prove", "first", "-o", &files.request]);
        assert!(asked.stderr.contains("maker's certificate"), "{asked:#?}");
        let asked = ask(&program, &files, "ecc-p384");
        assert!(!asked.stderr.contains("maker's certificate"), "{asked:#?}");
        asked.ok();
        files.challenge(&program);
        files.answer(&program).ok();
        let verify = ["verify-proof", &files.proof, "--any-tpm"];
        program.run(&verify).ok();
        let info = program.run(&["tpm", "info", "--json"]).ok();
        assert!(info.contains("\"wrong_tries\": 0"), "{what}: {info}");
    }
}
