//! `cargo xtask install` and `uninstall`: tpmssh on this machine, or below `$DESTDIR`.

mod disk;
mod manifest;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use self::disk::Disk;
use self::manifest::Manifest;
use crate::command::{self, cargo, root};
use crate::packages::{self, For};
use crate::payload::{Built, Item, Layout};
use crate::source;

/// The arguments of the two chores.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    prefix: PathBuf,
    /// The directory of the built program and module; if `None`, they are built now.
    from: Option<PathBuf>,
}

/// Builds and installs everything.
///
/// # Errors
///
/// If files of another origin are in the way, or a file cannot be built or written. The installed
/// files are then unchanged.
pub(crate) fn install(args: &[OsString]) -> Result<()> {
    let options = Options::parse(args)?;
    let layout = options.layout();
    let disk = Disk::new()?;
    // Before the build, which takes minutes.
    disk.check_writable(&options.prefix)?;
    let built = match &options.from {
        Some(dir) => Built { dir: dir.clone() },
        None => build()?,
    };
    put(&disk, &options.prefix, layout.items(&built)?)?;
    println!("module: {}", layout.module().display());
    for note in notes(&layout) {
        println!("note: {note}");
    }
    println!("next: tpmssh doctor");
    Ok(())
}

/// Removes what [`install`] wrote.
///
/// # Errors
///
/// If there is no installation, or a file cannot be removed.
pub(crate) fn uninstall(args: &[OsString]) -> Result<()> {
    let options = Options::parse(args)?;
    ensure!(options.from.is_none(), "uninstall takes no --from");
    let disk = Disk::new()?;
    take_away(&disk, &options.prefix)?;
    println!(
        "keys and tokens stay: ~/.local/share/tpmssh of each user, and /var/lib/tpmssh\n\
         note: whoever ran tpmssh agent install has units of their own in ~/.config/systemd/user"
    );
    Ok(())
}

fn build() -> Result<Built> {
    packages::install_missing(For::Build)?;
    command::run(cargo().env(source::COMMIT, source::commit()).args([
        "build",
        "--release",
        "--locked",
        "-p",
        "tpmssh",
        "-p",
        "tpmssh-pkcs11",
    ]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| root().join("target"));
    Ok(Built {
        dir: target.join("release"),
    })
}

/// Writes all items, in the place of those of an earlier installation.
fn put(disk: &Disk, prefix: &Path, items: Vec<Item>) -> Result<()> {
    let place = Manifest::place(prefix);
    let old = Manifest::read(disk, &place)?.unwrap_or_default();
    let in_the_way: Vec<_> = items
        .iter()
        .filter(|item| disk.exists(&item.path) && !old.has(&item.path))
        .chain(items.iter().filter(|item| old.is_changed(disk, &item.path)))
        .map(|item| item.path.display().to_string())
        .collect();
    if !in_the_way.is_empty() {
        bail!(
            "nothing was written; files of somebody else are in the way: {}",
            in_the_way.join(" ")
        );
    }
    let mut new = Manifest::of(&items);
    let mut change = disk.change();
    for item in &items {
        change.write(&item.path, item.mode, &item.contents)?;
    }
    for path in old.paths().filter(|path| !new.has(path)) {
        if old.is_changed(disk, path) {
            println!("left, for it was changed: {}", path.display());
        } else {
            change.remove(path)?;
        }
    }
    change.make_parent(&place)?;
    new.add_dirs(old.dirs().chain(change.made_dirs()));
    change.write(&place, 0o644, new.text().as_bytes())?;
    change.keep();
    println!("{} files below {}", items.len(), prefix.display());
    Ok(())
}

fn take_away(disk: &Disk, prefix: &Path) -> Result<()> {
    let place = Manifest::place(prefix);
    let manifest = Manifest::read(disk, &place)?.with_context(|| {
        format!(
            "nothing is installed below {}: there is no {}",
            prefix.display(),
            place.display()
        )
    })?;
    disk.check_writable(prefix)?;
    let mut change = disk.change();
    let mut removed = 0;
    for path in manifest.paths() {
        if manifest.is_changed(disk, path) {
            println!("left, for it was changed: {}", path.display());
        } else {
            change.remove(path)?;
            removed += 1;
        }
    }
    change.remove(&place)?;
    change.keep();
    for dir in manifest.dirs() {
        disk.remove_empty(dir);
    }
    println!("{removed} files removed below {}", prefix.display());
    Ok(())
}

/// Hints for the user after the installation.
fn notes(layout: &Layout) -> Vec<String> {
    let mut notes = Vec::new();
    let module = layout.module();
    if !["/usr/lib", "/usr/local/lib"]
        .iter()
        .any(|lib| module.starts_with(lib))
    {
        notes.push(
            "ssh-agent loads modules from below /usr/lib and /usr/local/lib alone; \
             ssh -I and tpmssh agent work"
                .to_owned(),
        );
    }
    if layout.prefix != Path::new("/usr") {
        notes.push(format!(
            "p11-kit looks in /usr/share/p11-kit/modules; to use the module by it: cp \
             {}/share/p11-kit/modules/tpmssh.module ~/.config/pkcs11/modules/",
            layout.prefix.display()
        ));
    }
    notes
}

impl Options {
    fn parse(args: &[OsString]) -> Result<Self> {
        let mut options = Self {
            prefix: "/usr/local".into(),
            from: None,
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let text = arg.to_string_lossy().into_owned();
            let (name, value) = match text.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(PathBuf::from(value))),
                None => (text, None),
            };
            let mut value = || value.clone().or_else(|| args.next().map(PathBuf::from));
            let target = match name.as_str() {
                "--prefix" => &mut options.prefix,
                "--from" => options.from.get_or_insert_default(),
                _ => bail!("unknown argument {name}; see cargo xtask help"),
            };
            *target = value().with_context(|| format!("{name} needs a value"))?;
        }
        let plain = options.prefix.components().all(|part| {
            use std::path::Component::{Normal, RootDir};
            matches!(part, Normal(_) | RootDir)
        });
        ensure!(
            options.prefix.is_absolute() && plain,
            "the prefix has to be an absolute path without .."
        );
        Ok(options)
    }

    fn layout(&self) -> Layout {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        // A home of `/` stands for no home.
        let home = home.filter(|home| home != Path::new("/"));
        Layout::below(&self.prefix, home.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    const PREFIX: &str = "/opt/t";

    fn items(names: &[&str], text: &str) -> Vec<Item> {
        let item = |name: &&str| Item {
            path: Path::new(PREFIX).join(name),
            mode: 0o644,
            contents: text.as_bytes().to_vec(),
        };
        names.iter().map(item).collect()
    }

    fn all(dir: &Path) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                found.extend(all(&path));
                found.insert(path, String::new());
            } else {
                let text = fs::read_to_string(&path).unwrap_or_else(|_| "link".into());
                found.insert(path, text);
            }
        }
        found
    }

    #[test]
    fn uninstall_leaves_what_was_there_before() {
        let dest = tempfile::tempdir().unwrap();
        let disk = Disk::at(dest.path());
        fs::create_dir_all(dest.path().join("opt/t/bin")).unwrap();
        fs::write(dest.path().join("opt/t/bin/other"), "other").unwrap();
        let before = all(dest.path());
        put(&disk, Path::new(PREFIX), items(&["bin/a", "lib/x/b"], "1")).unwrap();
        let file = dest.path().join("opt/t/lib/x/b");
        assert_eq!(fs::read_to_string(&file).unwrap(), "1");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o644);
        // Another version, which lacks one file and has a new one.
        put(&disk, Path::new(PREFIX), items(&["bin/a", "share/c"], "2")).unwrap();
        assert!(!file.exists());
        let text = fs::read_to_string(dest.path().join("opt/t/bin/a"));
        assert_eq!(text.unwrap(), "2");
        take_away(&disk, Path::new(PREFIX)).unwrap();
        assert_eq!(all(dest.path()), before);
        let err = take_away(&disk, Path::new(PREFIX)).unwrap_err();
        assert_eq!(
            err.to_string(),
            "nothing is installed below /opt/t: there is no /opt/t/share/tpmssh/installed"
        );
    }

    #[test]
    fn files_of_somebody_else_stay_and_nothing_is_written_beside_them() {
        for foreign in ["a file", "a link", "a directory"] {
            let dest = tempfile::tempdir().unwrap();
            let disk = Disk::at(dest.path());
            let path = dest.path().join("opt/t/lib/b");
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match foreign {
                "a file" => fs::write(&path, "1").unwrap(),
                "a link" => symlink("/nonexistent", &path).unwrap(),
                _ => fs::create_dir(&path).unwrap(),
            }
            let before = all(dest.path());
            let new = || items(&["bin/a", "lib/b"], "1");
            let err = put(&disk, Path::new(PREFIX), new()).unwrap_err();
            assert_eq!(
                err.to_string(),
                "nothing was written; files of somebody else are in the way: /opt/t/lib/b"
            );
            assert_eq!(all(dest.path()), before, "{foreign}");
        }
    }

    #[test]
    fn a_file_that_was_changed_is_neither_replaced_nor_removed() {
        let dest = tempfile::tempdir().unwrap();
        let disk = Disk::at(dest.path());
        put(&disk, Path::new(PREFIX), items(&["bin/a", "lib/b"], "1")).unwrap();
        let changed = dest.path().join("opt/t/lib/b");
        fs::write(&changed, "mine").unwrap();
        let err = put(&disk, Path::new(PREFIX), items(&["lib/b"], "2")).unwrap_err();
        assert!(
            err.to_string().ends_with("in the way: /opt/t/lib/b"),
            "{err}"
        );
        take_away(&disk, Path::new(PREFIX)).unwrap();
        assert_eq!(fs::read_to_string(&changed).unwrap(), "mine");
        assert!(!dest.path().join("opt/t/bin").exists());
    }

    #[test]
    fn a_failed_install_changes_nothing() {
        let dest = tempfile::tempdir().unwrap();
        let disk = Disk::at(dest.path());
        put(&disk, Path::new(PREFIX), items(&["bin/a", "old"], "1")).unwrap();
        // Nobody can make files there, not even root.
        symlink("/proc", dest.path().join("opt/t/lib")).unwrap();
        let before = all(dest.path().join("opt").as_path());
        let new = items(&["bin/a", "etc/new", "lib/b"], "2");
        let err = put(&disk, Path::new(PREFIX), new).unwrap_err();
        assert_eq!(
            err.to_string(),
            "cannot write /opt/t/lib/b, so everything is as before"
        );
        assert_eq!(all(dest.path().join("opt").as_path()), before);
    }

    #[test]
    fn options_are_checked() {
        let parse = |args: &[&str]| {
            let args: Vec<_> = args.iter().map(OsString::from).collect();
            Options::parse(&args).map_err(|err| err.to_string())
        };
        let prefix = |text: &str| Options {
            prefix: text.into(),
            from: None,
        };
        assert_eq!(parse(&[]), Ok(prefix("/usr/local")));
        assert_eq!(parse(&["--prefix", "/usr"]), Ok(prefix("/usr")));
        assert_eq!(parse(&["--prefix=/usr"]), Ok(prefix("/usr")));
        for (args, why) in [
            (
                &["--prefix", "usr"][..],
                "the prefix has to be an absolute path without ..",
            ),
            (
                &["--prefix", "/usr/../etc"],
                "the prefix has to be an absolute path without ..",
            ),
            (&["--prefix"], "--prefix needs a value"),
            (
                &["--root", "/"],
                "unknown argument --root; see cargo xtask help",
            ),
        ] {
            assert_eq!(parse(args), Err(why.to_owned()));
        }
    }
}
