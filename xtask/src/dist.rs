//! `cargo xtask dist`: the files of a release, reproducible byte for byte.

mod debian;
mod sbom;
mod tarball;

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::command::{self, cargo, root};
use crate::packages::{self, For};
use crate::payload::{self, Built, Item, Layout};
use crate::source;

/// The files that one run makes.
pub(crate) struct Dist {
    /// The Debian package of the program and the module.
    pub(crate) deb: PathBuf,
    /// The Debian package of the authority.
    pub(crate) ca: PathBuf,
}

/// The version and date of the source.
struct Release {
    version: String,
    /// Seconds since 1970.
    date: u64,
}

/// Builds package, tarball, SBOM and checksums. With `--check`, builds them a second time from
/// another directory and compares. With `--from DIR`, packs the programs and the module in DIR, to try
/// the package.
///
/// # Errors
///
/// If a file cannot be built, or the two builds differ.
pub(crate) fn run(args: &[OsString]) -> Result<()> {
    let dist = match args {
        [] => build()?,
        [option] if option == "--check" => {
            let before = state();
            let dist = build()?;
            check_again(&before)?;
            dist
        }
        [option, dir] if option == "--from" => pack(Path::new(dir))?,
        _ => bail!("dist takes --check, --from DIR or nothing; see cargo xtask help"),
    };
    println!(
        "install it with: sudo apt install ./{}; the authority of a fleet with: sudo apt install ./{}",
        relative(&dist.deb),
        relative(&dist.ca)
    );
    Ok(())
}

/// Builds everything into `target/dist`.
///
/// # Errors
///
/// If a file cannot be built.
pub(crate) fn build() -> Result<Dist> {
    packages::install_missing(For::Build)?;
    build_in(&root(), &root().join("target/dist"))
}

/// Packs programs and a module that are built already.
///
/// # Errors
///
/// If it is not there, or cannot be packed.
pub(crate) fn pack(dir: &Path) -> Result<Dist> {
    packages::install_missing(For::Build)?;
    let out = root().join("target/dist/unreleased");
    fs::create_dir_all(&out)?;
    let built = strip(&root().join(dir), &out)?;
    pack_in(&root(), &out, &built)
}

/// Builds the source in `tree` into `out`.
fn build_in(tree: &Path, out: &Path) -> Result<Dist> {
    fs::create_dir_all(out)?;
    pack_in(tree, out, &compile(tree, out)?)
}

fn pack_in(tree: &Path, out: &Path, built: &Built) -> Result<Dist> {
    let release = Release {
        version: source::version(),
        date: source::date()?,
    };
    let name = format!(
        "tpmssh-{}-{}-linux",
        release.version,
        std::env::consts::ARCH
    );
    let sbom = out.join(format!("{name}.cdx.json"));
    fs::write(&sbom, sbom::text(tree, &release)?)?;
    let tarball = out.join(format!("{name}.tar.gz"));
    let items = Layout::below(Path::new("/usr/local"), None).items(built)?;
    tarball::write(&tarball, &name, items, &release)?;
    let layout = Layout::debian();
    let deb = debian::write(out, &debian::TPMSSH, layout.items(built)?, &release)?;
    let ca = debian::write(out, &debian::CA, layout.ca_items(built)?, &release)?;
    let files = [&deb, &ca, &tarball, &sbom];
    let sums = checksums(&files)?;
    fs::write(out.join("SHA256SUMS"), &sums)?;
    print!("{sums}");
    Ok(Dist { deb, ca })
}

/// Builds the programs and the module without paths of this machine in them.
fn compile(tree: &Path, out: &Path) -> Result<Built> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let home = home.context("neither CARGO_HOME nor HOME is set")?;
    let (tree_text, home_text) = (tree.display(), home.display());
    let target = out.join("build");
    command::run(
        cargo()
            .current_dir(tree)
            .args(["build", "--release", "--locked", "-p", "tpmssh", "-p", "tpmssh-pkcs11", "-p", "ca-server"])
            .arg("--target-dir")
            .arg(&target)
            .env(source::COMMIT, source::commit())
            .env("CARGO_INCREMENTAL", "0")
            .env("SOURCE_DATE_EPOCH", source::date()?.to_string())
            .env(
                "RUSTFLAGS",
                format!(
                    "--remap-path-prefix={tree_text}=/usr/src/tpmssh \
                     --remap-path-prefix={home_text}=/usr/src/cargo"
                ),
            )
            .env(
                "CFLAGS",
                format!("-ffile-prefix-map={home_text}=/usr/src/cargo -ffile-prefix-map={tree_text}=/usr/src/tpmssh"),
            ),
    )?;
    strip(&target.join("release"), out)
}

/// Copies the programs and the module without debug information.
fn strip(from: &Path, out: &Path) -> Result<Built> {
    let dir = out.join("stripped");
    fs::create_dir_all(&dir)?;
    for name in ["tpmssh", "libtpmssh_pkcs11.so", payload::CA] {
        fs::copy(from.join(name), dir.join(name))
            .with_context(|| format!("cannot copy {}", from.join(name).display()))?;
        command::run(
            Command::new("strip")
                .args(["--strip-unneeded", "--remove-section=.comment"])
                .arg(dir.join(name)),
        )?;
    }
    Ok(Built { dir })
}

/// Builds a copy of the source in another directory, and compares the checksums.
fn check_again(before: &[String]) -> Result<()> {
    still(before)?;
    let place = tempfile::Builder::new().prefix("tpmssh-again-").tempdir()?;
    let tree = place.path().join("somewhere/else");
    fs::create_dir_all(&tree)?;
    let files = Command::new("git")
        .current_dir(root())
        .args(["ls-files", "-z"])
        .output()
        .context("cannot start git")?;
    for name in String::from_utf8(files.stdout)?.split_terminator('\0') {
        let (from, to) = (root().join(name), tree.join(name));
        if from.is_file() {
            fs::create_dir_all(to.parent().context("a file in no directory")?)?;
            fs::copy(from, to)?;
        }
    }
    build_in(&tree, &place.path().join("out"))?;
    still(before)?;
    let read = |dir: &Path| fs::read_to_string(dir.join("SHA256SUMS"));
    let (first, second) = (
        read(&root().join("target/dist"))?,
        read(&place.path().join("out"))?,
    );
    ensure!(
        first == second,
        "two builds differ:\n{first}and, in another directory:\n{second}"
    );
    println!("the second build has the same bytes");
    Ok(())
}

/// The version and the commit that a build of the present source contains.
fn state() -> [String; 2] {
    [source::version(), source::commit()]
}

/// Refuses to compare builds of different sources: each takes minutes, and somebody may commit
/// meanwhile.
fn still(before: &[String]) -> Result<()> {
    let now = state();
    ensure!(
        before == now,
        "the source changed while it was built (before: {}; now: {}): \
         leave the directory alone, or use a git worktree of its own",
        before.join(", "),
        now.join(", ")
    );
    Ok(())
}

/// Writes the items below a directory, and gives them and all directories the date of the source.
fn lay_out(dir: &Path, items: &[Item]) -> Result<()> {
    for item in items {
        let path = dir.join(item.path.strip_prefix("/")?);
        let parent = path.parent().context("a file in no directory")?;
        fs::create_dir_all(parent)?;
        fs::write(&path, &item.contents)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(item.mode))?;
    }
    for dir in directories(dir)? {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// A directory and all below it.
fn directories(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = vec![dir.to_owned()];
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(directories(&path)?);
        }
    }
    Ok(found)
}

/// The lines of sha256sum(1), with names alone.
fn checksums(files: &[&PathBuf]) -> Result<String> {
    let mut sums = String::new();
    for file in files {
        let dir = file.parent().context("a file in no directory")?;
        let name = file.file_name().context("a file without a name")?;
        let output = Command::new("sha256sum")
            .current_dir(dir)
            .arg(name)
            .output()
            .context("cannot start sha256sum")?;
        ensure!(output.status.success(), "sha256sum failed");
        sums += &String::from_utf8(output.stdout)?;
    }
    Ok(sums)
}

/// `contents` as gzip makes it smallest, without name and time.
fn gzip(contents: &[u8]) -> Result<Vec<u8>> {
    use std::io::Write;
    use std::process::Stdio;
    let mut gzip = Command::new("gzip")
        .args(["-9", "-n", "-c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start gzip")?;
    let mut input = gzip.stdin.take().context("gzip has no input")?;
    let contents = contents.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&contents));
    let output = gzip.wait_with_output()?;
    writer
        .join()
        .map_err(|_| anyhow::anyhow!("gzip took no input"))??;
    ensure!(output.status.success(), "gzip failed");
    Ok(output.stdout)
}

fn relative(path: &Path) -> String {
    let path = path.strip_prefix(root()).unwrap_or(path);
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_of_different_sources_are_not_compared() {
        let now = state();
        assert!(still(&now).is_ok());
        let [version, commit] = now;
        let err = still(&[version, format!("{commit} changed meanwhile")]).expect_err("another");
        assert!(
            err.to_string()
                .starts_with("the source changed while it was built (before: "),
            "{err}"
        );
    }
}
