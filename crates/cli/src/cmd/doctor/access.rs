//! The way to the TPM: is there one, and may this user use it?

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use token_store::{Error as StoreError, Kind};
use tpm_core::{Error as TpmError, Tcti, Tpm};

use super::check::Check;
use crate::app::App;
use crate::machine::user;

const NAME: &str = "access";

/// The TPM, if it can be reached.
pub(super) fn check(app: &App, checks: &mut Vec<Check>) -> Option<Arc<Tpm>> {
    let choice = match app.tpm_choice() {
        Ok(choice) => choice,
        Err(StoreError::NoTpmConfigured) => {
            checks.push(no_tpm(Path::new("/dev"), Path::new("/sys/class/tpm")));
            return None;
        }
        Err(err) => {
            checks.push(Check::failed(NAME, err));
            return None;
        }
    };
    let opened = app.tpm().and_then(|tpm| {
        tpm.begin().map_err(StoreError::from)?;
        Ok(tpm)
    });
    match opened {
        Ok(tpm) => {
            let detail = format!("{} ({})", tpm.found(), choice.source);
            checks.push(Check::ok(NAME, detail));
            checks.push(resource_manager(&tpm.found()));
            Some(tpm)
        }
        Err(err) => {
            checks.push(match err.downcast_ref() {
                Some(StoreError::Tpm(TpmError::PermissionDenied { path })) => may_not_open(path),
                _ => Check::failed(NAME, err),
            });
            None
        }
    }
}

/// Why there is no `/dev/tpmrm*`, by the directory of device nodes and the kernel's list of TPMs.
fn no_tpm(dev: &Path, class: &Path) -> Check {
    let versions = numbered(class).map(|chip| fs::read_to_string(chip.join("tpm_version_major")));
    let is_old = |version: Option<String>| version.is_some_and(|v| v.trim() == "1");
    if versions.map(Result::ok).any(is_old) {
        return Check::failed(NAME, StoreError::Tpm(TpmError::Tpm12));
    }
    if let Some(bare) = numbered(dev).min() {
        let detail = format!(
            "there is {} and no /dev/tpmrm*: this kernel has no resource manager for the TPM",
            bare.display()
        );
        return Check::problem(NAME, Kind::NoTpm, detail).fixed_by(format!(
            "use a kernel from 4.12 on, or for one program at a time: --tcti device:{}",
            bare.display()
        ));
    }
    Check::failed(NAME, StoreError::NoTpmConfigured)
}

/// The entries `tpm0`, `tpm1` and so on of a directory.
fn numbered(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().and_then(|name| name.to_str());
        let digits = name.and_then(|name| name.strip_prefix("tpm"));
        digits.is_some_and(|digits| {
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
        })
    })
}

fn resource_manager(tcti: &Tcti) -> Check {
    let name = "resource manager";
    match tcti {
        Tcti::Device(path) if path.to_string_lossy().starts_with("/dev/tpmrm") => {
            Check::ok(name, "the kernel's")
        }
        Tcti::Device(path) => {
            let detail = format!("none: {} takes one program at a time", path.display());
            Check::warning(name, detail).fixed_by("use the kernel's: --tcti device")
        }
        Tcti::Tabrmd(_) => Check::ok(name, "tpm2-abrmd"),
        _ => Check::ok(name, "none; programs take turns"),
    }
}

/// Why this user may not open the device node, and what changes that.
fn may_not_open(path: &Path) -> Check {
    let Ok(node) = fs::metadata(path) else {
        let path = path.to_owned();
        return Check::failed(NAME, StoreError::Tpm(TpmError::PermissionDenied { path }));
    };
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    let mine = rustix::process::getgroups().unwrap_or_default();
    let me = Me {
        name: user::name(),
        groups: mine
            .into_iter()
            .chain([rustix::process::getegid()])
            .map(rustix::process::Gid::as_raw)
            .collect(),
    };
    let (detail, fix) = me.explain(node.gid(), node.mode() & 0o777, &groups);
    let detail = format!("permission denied on {}: {detail}", path.display());
    Check::problem(NAME, Kind::NoTpm, detail).fixed_by(fix)
}

struct Me {
    name: String,
    /// The groups that this process has.
    groups: Vec<u32>,
}

impl Me {
    /// What is wrong with a node of this group and mode, and what fixes it. `groups` is
    /// the text of the group file (group(5)).
    fn explain(&self, gid: u32, mode: u32, groups: &str) -> (String, String) {
        let number = gid.to_string();
        let group = user::name_in(groups, gid).unwrap_or(&number);
        if mode & 0o060 != 0o060 || gid == 0 {
            let detail = format!("it is for root alone (group {group}, mode {mode:04o})");
            return (detail, "sudo apt install tpm-udev, then restart".into());
        }
        if self.groups.contains(&gid) {
            let detail = format!("you are in its group {group}, and something else forbids it");
            return (
                detail,
                "see the rules of the container or sandbox that this runs in".into(),
            );
        }
        if user::is_listed(groups, gid, &self.name) {
            let detail = format!("you are in its group {group}, but logged in before that");
            return (
                detail,
                format!("log out and in again, or for now: newgrp {group}"),
            );
        }
        let detail = format!("it is for group {group}, and you are not in it");
        let fix = format!(
            "sudo usermod -aG {group} {}, then log out and in again",
            self.name
        );
        (detail, fix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TSS: u32 = 110;

    /// The explanation that `anna`, who has the groups `mine`, gets for a node of this group and mode.
    fn explained(gid: u32, mode: u32, mine: &[u32], members: &str) -> (String, String) {
        let me = Me {
            name: "anna".into(),
            groups: mine.to_vec(),
        };
        me.explain(gid, mode, &format!("root:x:0:\ntss:x:{TSS}:{members}\n"))
    }

    #[test]
    fn who_may_not_open_the_tpm_hears_which_of_the_reasons_it_is() {
        for ((gid, mode, mine, members), detail, fix) in [
            (
                (TSS, 0o660, &[1000][..], "bert"),
                "it is for group tss, and you are not in it",
                "sudo usermod -aG tss anna, then log out and in again",
            ),
            (
                (TSS, 0o660, &[1000], "bert,anna"),
                "you are in its group tss, but logged in before that",
                "log out and in again, or for now: newgrp tss",
            ),
            (
                (TSS, 0o660, &[1000, TSS], "anna"),
                "you are in its group tss, and something else forbids it",
                "see the rules of the container or sandbox that this runs in",
            ),
            (
                (0, 0o600, &[1000], ""),
                "it is for root alone (group root, mode 0600)",
                "sudo apt install tpm-udev, then restart",
            ),
            (
                (7, 0o660, &[1000], ""),
                "it is for group 7, and you are not in it",
                "sudo usermod -aG 7 anna, then log out and in again",
            ),
        ] {
            let expected = (detail.to_owned(), fix.to_owned());
            assert_eq!(explained(gid, mode, mine, members), expected);
        }
    }

    #[test]
    fn a_missing_tpm_is_told_by_what_else_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let (dev, class) = (dir.path().join("dev"), dir.path().join("class"));
        fs::create_dir(&dev).unwrap();
        let said = || {
            let said = no_tpm(&dev, &class).to_string();
            said.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        fs::write(dev.join("tpm"), "").unwrap();
        fs::write(dev.join("tpmx"), "").unwrap();
        assert!(said().contains("no TPM found"));
        fs::write(dev.join("tpm2"), "").unwrap();
        fs::write(dev.join("tpm1"), "").unwrap();
        assert!(said().contains("there is ") && said().contains("/dev/tpm1 and no /dev/tpmrm*"));
        fs::create_dir_all(class.join("tpm1")).unwrap();
        fs::write(class.join("tpm1/tpm_version_major"), "1\n").unwrap();
        assert!(said().contains("a TPM 1.2"));
    }
}
