//! The Debian packages, made with dpkg-deb.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{Release, gzip, lay_out};
use crate::command::{self, root};
use crate::payload::Item;

/// One of the packages.
pub(super) struct Package {
    name: &'static str,
    /// The directory with its description and its scripts.
    dir: &'static str,
    /// How many of its files are programs or libraries.
    binaries: usize,
}

/// The program and the module.
pub(super) const TPMSSH: Package = Package {
    name: "tpmssh",
    dir: "packaging/debian",
    binaries: 2,
};

/// The authority.
pub(super) const CA: Package = Package {
    name: "tpmssh-ca",
    dir: "packaging/debian/ca",
    binaries: 1,
};

/// The scripts of a package.
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// Writes the package into `out`.
///
/// # Errors
///
/// If it cannot be made, or its dependencies cannot be computed.
pub(super) fn write(
    out: &Path,
    package: &Package,
    items: Vec<Item>,
    release: &Release,
) -> Result<PathBuf> {
    let version = format!("{}-1", release.version);
    let architecture = print(Command::new("dpkg").arg("--print-architecture"))?;
    let items = for_debian(package, items, &version, release)?;
    let work = tempfile::tempdir()?;
    let tree = work.path().join("tree");
    lay_out(&tree, &items)?;
    let control = control(package, work.path(), &items, &version, &architecture)?;
    lay_out(&tree, &control)?;
    let deb = out.join(format!("{}_{version}_{architecture}.deb", package.name));
    command::run(
        Command::new("dpkg-deb")
            .env("SOURCE_DATE_EPOCH", release.date.to_string())
            .args(["--root-owner-group", "-Zxz", "--build"])
            .arg(&tree)
            .arg(&deb),
    )?;
    Ok(deb)
}

/// The items as Debian has them: pages compressed, licenses in one file, changelogs.
fn for_debian(
    package: &Package,
    mut items: Vec<Item>,
    version: &str,
    release: &Release,
) -> Result<Vec<Item>> {
    items.retain(|item| {
        let name = item.path.file_name().unwrap_or_default();
        !name.to_string_lossy().starts_with("LICENSE-")
    });
    for item in &mut items {
        if item.path.starts_with("/usr/share/man") {
            item.path.as_mut_os_string().push(".gz");
            item.contents = gzip(&item.contents)?;
        }
    }
    let mut doc = |name: &str, contents: Vec<u8>| {
        items.push(Item {
            path: Path::new("/usr/share/doc").join(package.name).join(name),
            mode: 0o644,
            contents,
        });
    };
    doc(
        "copyright",
        fs::read(root().join("packaging/debian/copyright"))?,
    );
    let changes = fs::read(root().join("CHANGELOG.md"))?;
    doc("changelog.gz", gzip(&changes)?);
    let day = print(Command::new("date").args(["-R", "-u", "-d", &format!("@{}", release.date)]))?;
    let entry = format!(
        "{} ({version}) unstable; urgency=medium\n\n  * See changelog.gz.\n\n \
         -- The tpmssh authors <packages@tpmssh.invalid>  {day}\n",
        package.name
    );
    doc("changelog.Debian.gz", gzip(entry.as_bytes())?);
    items.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(items)
}

/// The files of the package's own directory.
fn control(
    package: &Package,
    work: &Path,
    items: &[Item],
    version: &str,
    architecture: &str,
) -> Result<Vec<Item>> {
    let kilobytes: usize = items
        .iter()
        .map(|it| it.contents.len().div_ceil(1024))
        .sum();
    let text = fs::read_to_string(packaging(package, "control.in"))?
        .replace("@version@", version)
        .replace("@architecture@", architecture)
        .replace("@size@", &kilobytes.to_string())
        .replace("@depends@", &dependencies(package, work, items)?);
    let mut files = vec![item("control", 0o644, text.into_bytes())];
    files.push(item("md5sums", 0o644, md5sums(work)?.into_bytes()));
    for name in SCRIPTS {
        files.push(item(name, 0o755, fs::read(packaging(package, name))?));
    }
    Ok(files)
}

fn item(name: &str, mode: u32, contents: Vec<u8>) -> Item {
    Item {
        path: Path::new("/DEBIAN").join(name),
        mode,
        contents,
    }
}

/// The packages of the libraries that programs and module are linked to.
fn dependencies(package: &Package, work: &Path, items: &[Item]) -> Result<String> {
    let stub = work.join("debian");
    fs::create_dir_all(&stub)?;
    fs::write(
        stub.join("control"),
        format!(
            "Source: tpmssh\n\nPackage: {}\nArchitecture: any\n",
            package.name
        ),
    )?;
    let mut command = Command::new("dpkg-shlibdeps");
    command.current_dir(work).args(["-O", "--warnings=0"]);
    let mut found = 0;
    for item in items
        .iter()
        .filter(|item| item.contents.starts_with(b"\x7fELF"))
    {
        command
            .arg("-e")
            .arg(work.join("tree").join(item.path.strip_prefix("/")?));
        found += 1;
    }
    ensure!(
        found == package.binaries,
        "{found} files of {} are ELF files, and not {}",
        package.name,
        package.binaries
    );
    let line = print(&mut command)?;
    let depends = line.strip_prefix("shlibs:Depends=");
    Ok(on_each_release(
        depends.context("dpkg-shlibdeps says nothing")?,
    ))
}

/// Adds the name that a library's package has in Debian 13 and Ubuntu 24.04 to that of Debian 12: the library, with its
/// soname, is the same.
fn on_each_release(depends: &str) -> String {
    let each = depends.split(", ").map(|one| {
        if one.split(' ').next() == Some("libtss2-mu0") {
            format!("{one} | libtss2-mu-4.0.1-0t64")
        } else {
            one.to_owned()
        }
    });
    each.collect::<Vec<_>>().join(", ")
}

/// The digests that dpkg --verify looks at.
fn md5sums(work: &Path) -> Result<String> {
    let tree = work.join("tree");
    let mut names = Vec::new();
    for dir in super::directories(&tree)? {
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.is_file() {
                names.push(path.strip_prefix(&tree)?.to_owned());
            }
        }
    }
    names.sort();
    let mut sums = String::new();
    for name in names {
        let _ = writeln!(
            sums,
            "{}",
            print(Command::new("md5sum").current_dir(&tree).arg(name))?
        );
    }
    Ok(sums)
}

fn packaging(package: &Package, name: &str) -> PathBuf {
    root().join(package.dir).join(name)
}

/// The output of a program, without the line feed at its end.
fn print(command: &mut Command) -> Result<String> {
    let line = command::line(command);
    let output = command
        .output()
        .with_context(|| format!("cannot start `{line}`"))?;
    ensure!(
        output.status.success(),
        "`{line}` failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_has_its_name_in_each_release() {
        assert_eq!(
            on_each_release("libc6 (>= 2.34), libtss2-mu0 (>= 3.0.1), x"),
            "libc6 (>= 2.34), libtss2-mu0 (>= 3.0.1) | libtss2-mu-4.0.1-0t64, x"
        );
    }

    #[test]
    fn scripts_are_plain_shell() {
        for package in [&TPMSSH, &CA] {
            for name in SCRIPTS {
                let script = packaging(package, name);
                let done = Command::new("sh").arg("-n").arg(&script).status();
                assert!(
                    done.is_ok_and(|status| status.success()),
                    "{}",
                    script.display()
                );
            }
        }
    }
}
