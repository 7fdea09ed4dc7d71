//! `tpmssh agent install`.

use std::fs;

use testing::Home;

use crate::program::{Outcome, text, tpmssh};

/// A home with a `systemctl` that notes how it is called and ends with `code`.
fn home(code: u8) -> Home {
    let home = Home::new();
    fs::create_dir(home.path().join("bin")).unwrap();
    let calls = home.path().join("calls");
    let script = format!(
        "#!/bin/sh\necho \"$*\" >>{}\nexit {code}\n",
        calls.display()
    );
    home.script("bin/systemctl", &script);
    home
}

fn install(home: &Home, args: &[&str]) -> Outcome {
    let path = format!(
        "{}:{}",
        text(home.path().join("bin")),
        std::env::var("PATH").unwrap()
    );
    let mut command = tpmssh(home);
    command.env("PATH", path).args(["agent", "install"]);
    Outcome::of(command.args(args))
}

fn calls(home: &Home) -> String {
    fs::read_to_string(home.path().join("calls")).unwrap_or_default()
}

const FILES: [&str; 3] = [
    "systemd/user/tpmssh-agent.socket",
    "systemd/user/tpmssh-agent.service",
    "environment.d/50-tpmssh.conf",
];

#[test]
fn a_dry_run_shows_everything_and_does_nothing() {
    let home = home(0);
    let shown = install(&home, &["--dry-run"]).ok();
    for file in FILES {
        let path = home.path().join(".config").join(file);
        assert!(
            shown.contains(&format!("# {}\n", path.display())),
            "{shown}"
        );
        assert!(!path.exists());
    }
    assert!(shown.contains("ListenStream=%t/tpmssh/agent.sock\n"));
    assert!(shown.contains("SSH_AUTH_SOCK=${XDG_RUNTIME_DIR}/tpmssh/agent.sock\n"));
    let start = format!("ExecStart=\"{}\" agent\n", env!("CARGO_BIN_EXE_tpmssh"));
    assert!(shown.contains(&start), "{shown}");
    assert_eq!(calls(&home), "");
}

#[test]
fn what_is_shown_is_written_and_started_and_may_be_written_again() {
    let home = home(0);
    for _ in 0..2 {
        let outcome = install(&home, &[]);
        assert!(outcome.stderr.contains("enable --now tpmssh-agent.socket"));
        let shown = outcome.ok();
        for file in FILES {
            let path = home.path().join(".config").join(file);
            let written = fs::read_to_string(&path).unwrap();
            let part = format!("# {}\n{written}\n", path.display());
            assert!(shown.contains(&part), "{shown}");
        }
        let called = "--user daemon-reload\n--user enable --now tpmssh-agent.socket\n";
        assert!(calls(&home).ends_with(called));
    }
}

#[test]
fn without_systemd_it_says_what_is_left_to_do() {
    let home = home(1);
    let outcome = install(&home, &[]);
    assert_eq!(
        outcome.stderr,
        "tpmssh: not done, please run it yourself: systemctl --user daemon-reload\n"
    );
    outcome.ok();
    assert!(home.path().join(".config").join(FILES[0]).exists());
}

#[test]
fn a_file_of_somebody_else_is_not_replaced() {
    let home = home(0);
    let path = home.path().join(".config").join(FILES[1]);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "[Service]\n").unwrap();
    install(&home, &[]).fails(
        1,
        &format!(
            "tpmssh: {} was not written by tpmssh\nhint: move it away first if it is not needed\n",
            path.display()
        ),
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "[Service]\n");
    assert!(!home.path().join(".config").join(FILES[0]).exists());
}
