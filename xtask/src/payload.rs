//! The files of an installation, and their destinations.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::command::root;

/// The file name of the module.
const MODULE: &str = "libtpmssh_pkcs11.so";

/// The program of the authority.
pub(crate) const CA: &str = "tpmssh-ca";

/// The programs and the module, built.
pub(crate) struct Built {
    /// The directory in which they are.
    pub(crate) dir: PathBuf,
}

/// The directories of an installation.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// Such as `/usr/local`.
    pub(crate) prefix: PathBuf,
    /// For the module. wpa_supplicant loads modules only from below `/usr/lib`, OpenSSH's agent
    /// also from below `/usr/local/lib`.
    pub(crate) modules: PathBuf,
    /// For zsh's completions.
    zsh: PathBuf,
    /// For user units, and for system units unless this is a single user's installation.
    user_units: PathBuf,
    system_units: Option<PathBuf>,
    /// Whether the distribution has neither the group nor the rule for the TPM's device.
    needs_group: bool,
}

/// A file of an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    /// Its installed path: absolute, without `$DESTDIR`.
    pub(crate) path: PathBuf,
    /// `0o755` or `0o644`.
    pub(crate) mode: u32,
    pub(crate) contents: Vec<u8>,
}

impl Layout {
    /// The usual directories below `prefix`; `home` is this user's.
    pub(crate) fn below(prefix: &Path, home: Option<&Path>) -> Self {
        let lib = prefix.join("lib");
        let own = home.is_some_and(|home| prefix.starts_with(home));
        Self {
            modules: match prefix == Path::new("/usr") {
                true => system_libraries().join("pkcs11"),
                false => lib.clone(),
            },
            zsh: prefix.join("share/zsh/site-functions"),
            user_units: match own {
                true => prefix.join("share/systemd/user"),
                false => lib.join("systemd/user"),
            },
            system_units: (!own).then(|| lib.join("systemd/system")),
            needs_group: !own && lacks_group(),
            prefix: prefix.to_owned(),
        }
    }

    /// The directories of a Debian package.
    pub(crate) fn debian() -> Self {
        Self {
            zsh: "/usr/share/zsh/vendor-completions".into(),
            needs_group: false,
            ..Self::below(Path::new("/usr"), None)
        }
    }

    /// The installed path of the module.
    pub(crate) fn module(&self) -> PathBuf {
        self.modules.join(MODULE)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.prefix.join(name)
    }

    /// All files of an installation.
    ///
    /// # Errors
    ///
    /// If a file of the repository or of the build cannot be read, or the program cannot print its
    /// own manual pages and completions.
    pub(crate) fn items(&self, built: &Built) -> Result<Vec<Item>> {
        let mut items = Items(Vec::new());
        items.add(
            self.at("bin/tpmssh"),
            0o755,
            read(&built.dir.join("tpmssh"))?,
        );
        items.add(self.module(), 0o644, read(&built.dir.join(MODULE))?);
        self.add_pages(&mut items, &built.dir.join("tpmssh"))?;
        self.add_units(&mut items)?;
        let p11_kit = self.at("share/p11-kit/modules/tpmssh.module");
        items.add(p11_kit, 0o644, self.filled("tpmssh.module.in")?);
        let pkg_config = match self.modules.ends_with("pkcs11") {
            true => self.modules.with_file_name("pkgconfig"),
            false => self.modules.join("pkgconfig"),
        };
        let pc = pkg_config.join("tpmssh-pkcs11.pc");
        items.add(pc, 0o644, self.filled("tpmssh-pkcs11.pc.in")?);
        if self.needs_group {
            let sysusers = self.at("lib/sysusers.d/tpmssh.conf");
            items.add(sysusers, 0o644, self.filled("tpmssh.sysusers")?);
            let rules = self.at("lib/udev/rules.d/60-tpmssh.rules");
            items.add(rules, 0o644, self.filled("60-tpmssh.rules")?);
        }
        for name in ["README.md", "SECURITY.md", "LICENSE-APACHE", "LICENSE-MIT"] {
            let doc = self.at("share/doc/tpmssh").join(name);
            items.add(doc, 0o644, read(&root().join(name))?);
        }
        items.0.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(items.0)
    }

    /// Manual pages and completions, which the program prints.
    fn add_pages(&self, items: &mut Items, program: &Path) -> Result<()> {
        let name = program.file_name().context("a program without a name")?;
        let name = name.to_string_lossy();
        let pages = tempfile::tempdir().context("cannot make a temporary directory")?;
        print(program, &["man", &pages.path().display().to_string()])?;
        for page in fs::read_dir(pages.path())? {
            let page = page?.path();
            let section = page.extension().context("a page without a section")?;
            let dir = self
                .at("share/man")
                .join(format!("man{}", section.display()));
            let page_name = page.file_name().context("a page without a name")?;
            items.add(dir.join(page_name), 0o644, read(&page)?);
        }
        for (shell, path) in [
            (
                "bash",
                self.at("share/bash-completion/completions").join(&*name),
            ),
            ("zsh", self.zsh.join(format!("_{name}"))),
            (
                "fish",
                self.at("share/fish/vendor_completions.d")
                    .join(format!("{name}.fish")),
            ),
        ] {
            items.add(path, 0o644, print(program, &["completions", shell])?);
        }
        Ok(())
    }

    /// The files of the authority, which is a package of its own.
    ///
    /// # Errors
    ///
    /// As for [`Layout::items`].
    pub(crate) fn ca_items(&self, built: &Built) -> Result<Vec<Item>> {
        let mut items = Items(Vec::new());
        let program = built.dir.join(CA);
        items.add(self.at("bin").join(CA), 0o755, read(&program)?);
        self.add_pages(&mut items, &program)?;
        let units = self.system_units.as_ref();
        let units = units.context("the authority is no single user's program")?;
        for name in ["tpmssh-ca.service", "tpmssh-ca-agent.service"] {
            let text = self.filled(&format!("systemd/system/{name}"))?;
            items.add(units.join(name), 0o644, text);
        }
        let sysusers = self.at("lib/sysusers.d/tpmssh-ca.conf");
        items.add(sysusers, 0o644, self.filled("tpmssh-ca.sysusers")?);
        let doc = self.at("share/doc").join(CA);
        let readme = read(&root().join("crates/ca-server/README.md"))?;
        items.add(doc.join("README.md"), 0o644, readme);
        let rules = "prometheus/tpmssh-ca.rules.yml";
        let to = self.at("share").join(CA).join("tpmssh-ca.rules.yml");
        items.add(to, 0o644, self.filled(rules)?);
        for name in ["LICENSE-APACHE", "LICENSE-MIT"] {
            items.add(doc.join(name), 0o644, read(&root().join(name))?);
        }
        items.0.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(items.0)
    }

    fn add_units(&self, items: &mut Items) -> Result<()> {
        for name in [
            "tpmssh-agent.socket",
            "tpmssh-agent.service",
            "tpmssh-renew.timer",
            "tpmssh-renew.service",
        ] {
            let text = self.filled(&format!("systemd/user/{name}"))?;
            items.add(self.user_units.join(name), 0o644, text);
        }
        for name in [
            "tpmssh-host.socket",
            "tpmssh-host.service",
            "tpmssh-host-renew.timer",
            "tpmssh-host-renew.service",
        ] {
            if let Some(dir) = &self.system_units {
                let text = self.filled(&format!("systemd/system/{name}"))?;
                items.add(dir.join(name), 0o644, text);
            }
        }
        Ok(())
    }

    /// A file of `packaging/` with the paths of this installation in it.
    fn filled(&self, name: &str) -> Result<Vec<u8>> {
        let path = root().join("packaging").join(name);
        let text = String::from_utf8(read(&path)?)?;
        let shown = |path: PathBuf| path.display().to_string();
        let text = text
            .replace("@prefix@", &shown(self.prefix.clone()))
            .replace("@program@", &shown(self.at("bin/tpmssh")))
            .replace("@ca@", &shown(self.at("bin").join(CA)))
            .replace("@module@", &shown(self.module()))
            .replace("@version@", env!("CARGO_PKG_VERSION"))
            .replace("@store@", "/var/lib/tpmssh")
            .replace("@socket@", "/run/tpmssh/host.sock")
            .replace("@etc@", "/etc")
            .replace("@places@", "--store=/var/lib/tpmssh --etc=/etc")
            .replace("@tcti@", "device");
        Ok(text.into_bytes())
    }
}

struct Items(Vec<Item>);

impl Items {
    fn add(&mut self, path: PathBuf, mode: u32, contents: Vec<u8>) {
        self.0.push(Item {
            path,
            mode,
            contents,
        });
    }
}

/// The directory of the distribution's libraries: Debian's directory for this architecture, Fedora's, or
/// the plain one.
fn system_libraries() -> PathBuf {
    let triplet = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    [triplet.as_str(), "/usr/lib64"]
        .iter()
        .map(PathBuf::from)
        .find(|dir| dir.is_dir() && !dir.is_symlink())
        .unwrap_or_else(|| "/usr/lib".into())
}

/// Whether no rule of udev gives the TPM's device to a group.
fn lacks_group() -> bool {
    let rules = [
        "/usr/lib/udev/rules.d",
        "/lib/udev/rules.d",
        "/etc/udev/rules.d",
    ];
    let files = rules
        .iter()
        .filter_map(|dir| fs::read_dir(dir).ok())
        .flatten();
    let names_tpm = files.flatten().any(|rule| {
        // A rule of an earlier installation of tpmssh does not count.
        rule.file_name() != "60-tpmssh.rules"
            && fs::read_to_string(rule.path()).is_ok_and(|text| text.contains("tpmrm"))
    });
    !names_tpm
}

/// The output of a command of the program.
fn print(program: &Path, arguments: &[&str]) -> Result<Vec<u8>> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("cannot start {}", program.display()))?;
    ensure!(
        output.status.success(),
        "{} {} failed: {}",
        program.display(),
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    match fs::read(path) {
        Ok(contents) => Ok(contents),
        Err(err) => bail!("cannot read {}: {err}", path.display()),
    }
}
