//! `tpmssh host remove`: what setup wrote is gone, and nothing else.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::*;

/// All files below a directory, and what is in them.
fn everything(dir: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(everything(&text(path.clone())));
            found.insert(path, Vec::new());
        } else {
            let contents = fs::read(&path).unwrap();
            found.insert(path, contents);
        }
    }
    found
}

impl Machine {
    pub(crate) fn remove(&self, options: &[&str]) -> Outcome {
        self.host("remove", options)
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.program.home.path().join("calls")).unwrap_or_default()
    }
}

#[test]
fn remove_takes_back_what_setup_did_and_keeps_the_keys() {
    let machine = Machine::new(Program::new());
    let etc = machine.etc.clone();
    fs::write(format!("{etc}/ssh/sshd_config.d.md"), "of somebody else").unwrap();
    fs::create_dir(format!("{etc}/ssh/sshd_config.d")).unwrap();
    fs::write(
        format!("{etc}/ssh/sshd_config.d/50-mine.conf"),
        "PermitRootLogin no\n",
    )
    .unwrap();
    // One of the keys has a name like ours, but tpmssh did not make it.
    for (name, of) in [
        ("ssh_host_ed25519_key", "ed25519"),
        ("ssh_host_tpm_rsa_key", "rsa"),
    ] {
        let file = format!("{etc}/ssh/{name}");
        run("ssh-keygen", &["-q", "-t", of, "-N", "", "-f", &file]);
    }
    let before = everything(&etc);
    machine.setup(&[]).ok();
    let public = machine.read("ssh/ssh_host_tpm_ecdsa_key.pub");
    let wants = format!("{etc}/systemd/system/sockets.target.wants");
    fs::create_dir(&wants).unwrap();
    let unit = format!("{etc}/systemd/system/tpmssh-host.socket");
    symlink(&unit, format!("{wants}/tpmssh-host.socket")).unwrap();

    let set_up = everything(&etc);
    let planned = machine.remove(&["--dry-run"]).ok();
    assert_eq!(planned.lines().count(), 5, "{planned}");
    assert_eq!(everything(&etc), set_up);
    fs::remove_file(machine.program.home.path().join("calls")).unwrap();
    let done = machine.remove(&[]);
    assert!(
        done.stderr.contains(&format!(
            "sudo TPMSSH_STORE={} tpmssh token delete --token host\n",
            machine.store
        )),
        "{done:?}"
    );
    assert_eq!(done.ok(), planned);
    assert_eq!(
        machine.calls(),
        "reload sshd.service\nstop tpmssh-host.socket tpmssh-host.service\ndaemon-reload\n"
    );
    assert_eq!(everything(&etc), before);

    // The key is still in the store, and the next setup uses it.
    let again = machine.remove(&[]);
    assert_eq!(
        again.stderr,
        "tpmssh: nothing of tpmssh host setup is here\n"
    );
    again.ok();
    machine.setup(&[]).ok();
    assert_eq!(machine.read("ssh/ssh_host_tpm_ecdsa_key.pub"), public);
}

#[test]
fn the_last_host_key_is_not_removed_by_accident() {
    let machine = Machine::new(Program::new());
    machine.setup(&["--only"]).ok();
    let drop_in = machine.read("ssh/sshd_config.d/10-tpmssh.conf");
    // A line that names a file which is not there is no key.
    let main = format!("{}/ssh/sshd_config", machine.etc);
    let config = fs::read_to_string(&main).unwrap();
    fs::write(&main, config + "HostKey /nonexistent/key\n").unwrap();
    machine.remove(&[]).fails(
        1,
        "tpmssh: sshd would have no host key left\n\
         hint: sudo ssh-keygen -A makes some; --force removes the TPM's anyway\n",
    );
    assert_eq!(machine.read("ssh/sshd_config.d/10-tpmssh.conf"), drop_in);
    machine.remove(&["--force"]).ok();
}

#[test]
fn json_has_what_is_written_and_removed() {
    let machine = Machine::new(Program::new());
    machine.file_key("ecdsa", &["-b", "256"]);
    let set_up = machine.setup(&["--json", "-b", "256"]);
    assert!(!set_up.stderr.contains("sudo sshd -t"), "{set_up:?}");
    let report: serde_json::Value = serde_json::from_str(&set_up.ok()).unwrap();
    let list = |report: &serde_json::Value, name: &str| report[name].as_array().unwrap().clone();
    for written in list(&report, "written") {
        let file = PathBuf::from(written["path"].as_str().unwrap());
        assert_eq!(fs::read_to_string(file).unwrap(), written["contents"]);
    }
    assert_eq!(list(&report, "written").len(), 4, "{report}");
    assert_eq!(
        report["commands"],
        serde_json::json!([
            "systemctl daemon-reload",
            "systemctl enable --now tpmssh-host.socket"
        ])
    );
    assert_eq!(report["key"]["type"], "ecdsa-p256");
    let left_out = format!("{}/ssh/ssh_host_ecdsa_key", machine.etc);
    assert_eq!(report["left_out"], serde_json::json!([left_out]));

    let planned = machine.remove(&["--json", "--dry-run"]).ok();
    let planned: serde_json::Value = serde_json::from_str(&planned).unwrap();
    let removed: serde_json::Value =
        serde_json::from_str(&machine.remove(&["--json"]).ok()).unwrap();
    assert_eq!(planned["removed"], removed["removed"]);
    assert_eq!([&planned["dry_run"], &removed["dry_run"]], [true, false]);
    for path in list(&removed, "removed") {
        assert!(!PathBuf::from(path.as_str().unwrap()).exists(), "{path}");
    }
    assert_eq!(list(&removed, "removed").len(), 4, "{removed}");
}
