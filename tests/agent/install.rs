//! `tpmssh agent install` and `agent uninstall`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use testing::Home;

use crate::program::{Outcome, text, tpmssh};

/// A home with a `systemctl` that records its calls. It answers queries as a user manager with
/// these units would, and ends with `code` for other calls.
fn home(code: u8) -> Home {
    let home = Home::new();
    fs::create_dir(home.path().join("bin")).unwrap();
    let script = format!(
        "#!/bin/sh\n\
         case \"$*\" in\n\
         --version) exit 0 ;;\n\
         '--user show-environment') cat {home}/manager; exit {code} ;;\n\
         '--user show --property=LoadState '*) echo LoadState=loaded; exit {code} ;;\n\
         esac\n\
         echo \"$*\" >>{home}/calls\n\
         exit {code}\n",
        home = home.path().display()
    );
    home.script("bin/systemctl", &script);
    fs::write(home.path().join("manager"), "LANG=C\n").unwrap();
    home
}

fn agent(home: &Home, args: &[&str]) -> Outcome {
    let path = format!(
        "{}:{}",
        text(home.path().join("bin")),
        std::env::var("PATH").unwrap()
    );
    let mut command = tpmssh(home);
    command.env("PATH", path).arg("agent");
    Outcome::of(command.args(args))
}

fn calls(home: &Home) -> String {
    fs::read_to_string(home.path().join("calls")).unwrap_or_default()
}

/// All files of the home and what is in them; directories and links as well.
fn everything(home: &Home) -> BTreeMap<PathBuf, String> {
    fn walk(dir: &Path, found: &mut BTreeMap<PathBuf, String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let kind = fs::symlink_metadata(&path).unwrap().file_type();
            let contents = if kind.is_dir() {
                walk(&path, found);
                "directory".to_owned()
            } else if kind.is_symlink() {
                format!("-> {}", fs::read_link(&path).unwrap().display())
            } else {
                fs::read_to_string(&path).unwrap()
            };
            found.insert(path, contents);
        }
    }
    let mut found = BTreeMap::new();
    walk(home.path(), &mut found);
    found.remove(&home.path().join("calls"));
    found
}

const FILES: [&str; 3] = [
    "systemd/user/tpmssh-agent.socket",
    "systemd/user/tpmssh-agent.service",
    "environment.d/50-tpmssh.conf",
];

const COMMANDS: &str = "--user daemon-reload\n--user enable --now tpmssh-agent.socket\n";

#[test]
fn a_dry_run_shows_everything_and_does_nothing() {
    let home = home(0);
    let before = everything(&home);
    let shown = agent(&home, &["install", "--profile", "--dry-run"]).ok();
    for file in FILES {
        let path = home.path().join(".config").join(file);
        assert!(
            shown.contains(&format!("# {}\n", path.display())),
            "{shown}"
        );
    }
    assert!(shown.contains("ListenStream=%t/tpmssh/agent.sock\n"));
    assert!(shown.contains("SSH_AUTH_SOCK=${XDG_RUNTIME_DIR}/tpmssh/agent.sock\n"));
    assert!(shown.contains("export SSH_AUTH_SOCK="), "{shown}");
    let start = format!("ExecStart=\"{}\" agent\n", env!("CARGO_BIN_EXE_tpmssh"));
    assert!(shown.contains(&start), "{shown}");
    assert!(!shown.contains('@') || shown.contains("SystemCallFilter=@system-service"));
    assert!(!shown.contains("@program@"), "{shown}");
    assert_eq!(everything(&home), before);
    assert_eq!(calls(&home), "");
}

#[test]
fn what_is_shown_is_written_and_started_and_may_be_written_again() {
    let home = home(0);
    for _ in 0..2 {
        let outcome = agent(&home, &["install"]);
        assert!(outcome.stderr.contains("enable --now tpmssh-agent.socket"));
        assert!(
            outcome
                .stderr
                .contains("IdentityAgent /run/user/%i/tpmssh/agent.sock\n"),
            "{outcome:?}"
        );
        let shown = outcome.ok();
        for file in FILES {
            let path = home.path().join(".config").join(file);
            let written = fs::read_to_string(&path).unwrap();
            let part = format!("# {}\n{written}\n", path.display());
            assert!(shown.contains(&part), "{shown}");
        }
        assert!(calls(&home).ends_with(COMMANDS));
    }
    assert!(!home.path().join(".profile").exists(), "nobody asked");
}

#[test]
fn uninstall_takes_back_what_install_did_and_nothing_else() {
    let home = home(0);
    fs::write(home.path().join(".profile"), "umask 022\n").unwrap();
    let environment = home.path().join(".config/environment.d");
    fs::create_dir(&environment).unwrap();
    fs::write(environment.join("90-mine.conf"), "EDITOR=vi\n").unwrap();
    let before = everything(&home);
    agent(&home, &["install", "--profile"]).ok();
    // As systemctl enable does.
    let units = home.path().join(".config/systemd/user");
    let wants = units.join("sockets.target.wants");
    fs::create_dir(&wants).unwrap();
    symlink(
        units.join("tpmssh-agent.socket"),
        wants.join("tpmssh-agent.socket"),
    )
    .unwrap();
    let profile = fs::read_to_string(home.path().join(".profile")).unwrap();
    assert!(profile.starts_with("umask 022\n# tpmssh agent install: begin\n"));
    let socket = text(home.path().join("run/tpmssh/agent.sock"));
    fs::write(
        home.path().join("manager"),
        format!("SSH_AUTH_SOCK={socket}\n"),
    )
    .unwrap();

    let installed = everything(&home);
    agent(&home, &["uninstall", "--dry-run"]).ok();
    assert_eq!(everything(&home), installed);
    fs::remove_file(home.path().join("calls")).unwrap();
    let outcome = agent(&home, &["uninstall"]);
    assert_eq!(
        calls(&home),
        "--user stop tpmssh-agent.socket\n--user stop tpmssh-agent.service\n\
         --user unset-environment SSH_AUTH_SOCK\n--user daemon-reload\n",
        "{outcome:?}"
    );
    outcome.ok();
    fs::write(home.path().join("manager"), "LANG=C\n").unwrap();
    assert_eq!(everything(&home), before);

    let again = agent(&home, &["uninstall"]);
    assert_eq!(
        again.stderr.lines().last(),
        Some("tpmssh: nothing of tpmssh agent install is here")
    );
    again.ok();
}

/// The first version wrote the same files with other text in them.
#[test]
fn what_an_older_version_wrote_is_replaced_and_removed() {
    let home = home(0);
    let before = everything(&home);
    let old = "# Written by tpmssh agent install.\n[Service]\nExecStart=\"/old/tpmssh\" agent\n";
    let write = || {
        for file in FILES {
            let path = home.path().join(".config").join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, old).unwrap();
        }
    };
    write();
    agent(&home, &["install"]).ok();
    let unit = home.path().join(".config").join(FILES[1]);
    assert!(!fs::read_to_string(unit).unwrap().contains("/old/tpmssh"));
    write();
    agent(&home, &["uninstall"]).ok();
    assert_eq!(everything(&home), before);
}

#[test]
fn without_a_user_manager_it_names_both_commands_and_fails() {
    let home = home(1);
    let outcome = agent(&home, &["install"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert_eq!(
        outcome.stderr,
        "tpmssh: the files are in place, but systemd was not told\n\
         hint: when it runs for you (after a login): systemctl --user daemon-reload && \
         systemctl --user enable --now tpmssh-agent.socket\n",
    );
    assert!(home.path().join(".config").join(FILES[0]).exists());
    // No user manager runs, so none has to be told.
    let outcome = agent(&home, &["uninstall"]);
    assert!(outcome.stdout.contains("rm "), "{outcome:?}");
    outcome.ok();
    assert!(!home.path().join(".config/systemd").exists());
}

#[test]
fn without_systemd_nothing_is_written() {
    let home = home(0);
    let before = everything(&home);
    let mut command = tpmssh(&home);
    command
        .env("PATH", "/nonexistent")
        .args(["agent", "install"]);
    Outcome::of(&mut command).fails(
        1,
        "tpmssh: systemd is not installed here, and nothing was written\n\
         hint: start the agent from your shell's profile instead: \
         eval \"$(tpmssh agent --daemon)\"\n",
    );
    assert_eq!(everything(&home), before);
}

#[test]
fn a_file_of_somebody_else_is_not_replaced_and_not_removed() {
    for file in FILES {
        let home = home(0);
        let path = home.path().join(".config").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        for foreign in ["a file", "a masking link", "a link to nothing"] {
            match foreign {
                "a file" => fs::write(&path, "[Service]\n").unwrap(),
                "a masking link" => symlink("/dev/null", &path).unwrap(),
                _ => symlink("/nonexistent", &path).unwrap(),
            }
            let before = everything(&home);
            agent(&home, &["install"]).fails(
                1,
                &format!(
                    "tpmssh: {} was not written by tpmssh\n\
                     hint: move it away first if it is not needed\n",
                    path.display()
                ),
            );
            assert_eq!(everything(&home), before, "{foreign}");
            let left = agent(&home, &["uninstall"]);
            let told = format!(
                "tpmssh: left: {} was not written by tpmssh\n",
                path.display()
            );
            assert!(left.stderr.contains(&told), "{left:?}");
            left.ok();
            assert_eq!(everything(&home), before, "{foreign}");
            fs::remove_file(&path).unwrap();
        }
    }
}

/// The last file cannot be written: the files before it, and the line in the profile, are removed
/// again.
#[test]
fn a_failed_install_leaves_nothing() {
    let home = home(0);
    fs::create_dir_all(home.path().join(".config/systemd/user")).unwrap();
    fs::write(home.path().join(".profile"), "umask 022\n").unwrap();
    // Nobody can make files there, not even root.
    symlink("/proc", home.path().join(".config/environment.d")).unwrap();
    let before = everything(&home);
    let outcome = agent(&home, &["install", "--profile"]);
    assert_eq!(outcome.code, Some(11), "{outcome:?}");
    assert!(
        outcome.stderr.contains("environment.d/50-tpmssh.conf: "),
        "{outcome:?}"
    );
    assert_eq!(calls(&home), "");
    assert_eq!(everything(&home), before);
}

#[test]
fn json_has_every_change_and_nothing_else_is_said() {
    let home = home(0);
    let json = |args: &[&str]| {
        let outcome = agent(&home, &[args, &["--json"]].concat());
        assert_eq!(outcome.stderr, "");
        serde_json::from_str::<serde_json::Value>(&outcome.ok()).unwrap()
    };
    let planned = json(&["install", "--profile", "--dry-run"]);
    assert_eq!(planned["commands"], serde_json::json!([]));
    assert_eq!(calls(&home), "");
    let done = json(&["install", "--profile"]);
    assert_eq!(planned["written"], done["written"]);
    let written = done["written"].as_array().unwrap();
    assert_eq!(written.len(), FILES.len());
    for file in written {
        let path = file["path"].as_str().unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), file["contents"]);
    }
    let profile = home.path().join(".profile");
    assert_eq!(done["added"][0]["path"], text(profile.clone()));
    assert_eq!(
        done["commands"],
        serde_json::json!([
            "systemctl --user daemon-reload",
            "systemctl --user enable --now tpmssh-agent.socket"
        ])
    );
    let gone = json(&["uninstall"]);
    assert_eq!(gone["removed"].as_array().unwrap().len(), FILES.len());
    assert_eq!(gone["cleaned"], serde_json::json!([text(profile)]));
    let nothing = json(&["uninstall"]);
    assert_eq!(nothing["removed"], serde_json::json!([]));
}
