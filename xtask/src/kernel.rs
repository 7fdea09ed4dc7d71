//! The Linux kernel that the tests boot in a virtual machine, to test with its TPM driver.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{command, packages};

/// Debian's kernel for virtual machines: small, with the TPM driver built in.
const META_PACKAGE: &str = "linux-image-cloud-amd64";

/// Puts a kernel at `kernel/vmlinuz` in the build directory, if there is none yet.
///
/// It is unpacked there and not installed. This machine's own kernel is not touched.
///
/// # Errors
///
/// If it cannot be fetched.
pub(crate) fn fetch() -> Result<()> {
    let dir = command::target()?.join("kernel");
    let kernel = dir.join("vmlinuz");
    if kernel.is_file() {
        return Ok(());
    }
    fs::create_dir_all(&dir)?;
    unpack(&dir)
        .and_then(|()| take(&dir, &kernel))
        .with_context(|| {
            format!(
                "the tests boot a Linux kernel with the TPM TIS driver built in; \
             please put one at {}",
                kernel.display()
            )
        })
}

/// Downloads the newest package and unpacks it in `dir`.
fn unpack(dir: &Path) -> Result<()> {
    let mut depends = depends()?;
    if newest(&depends).is_none() {
        // A new machine may lack the lists of packages.
        packages::update()?;
        depends = self::depends()?;
    }
    let Some(package) = newest(&depends) else {
        bail!("apt-cache knows no {META_PACKAGE}");
    };
    command::run(
        Command::new("apt-get")
            .args(["-qq", "download", package])
            .current_dir(dir),
    )?;
    for deb in debs(dir)? {
        command::run(Command::new("dpkg-deb").arg("--extract").arg(&deb).arg(dir))?;
        fs::remove_file(deb)?;
    }
    Ok(())
}

fn depends() -> Result<String> {
    let output = Command::new("apt-cache")
        .args(["depends", META_PACKAGE])
        .output()
        .context("cannot start apt-cache")?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The package that a meta package depends on, from the output of `apt-cache depends`.
fn newest(depends: &str) -> Option<&str> {
    depends
        .lines()
        .find_map(|line| line.trim().strip_prefix("Depends: "))
        .filter(|package| package.starts_with("linux-image-"))
}

fn debs(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            found.push(path);
        }
    }
    Ok(found)
}

/// Moves the kernel image out of the unpacked package and removes the rest.
fn take(dir: &Path, kernel: &Path) -> Result<()> {
    let image = fs::read_dir(dir.join("boot"))?
        .filter_map(std::result::Result::ok)
        .find(|entry| entry.file_name().to_string_lossy().starts_with("vmlinuz-"))
        .context("the package has no kernel in it")?;
    fs::rename(image.path(), kernel)?;
    for rest in ["boot", "lib", "usr"] {
        let rest = dir.join(rest);
        if rest.is_dir() {
            fs::remove_dir_all(rest)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_what_the_meta_package_depends_on() {
        let depends = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-9-cloud-amd64\n";
        assert_eq!(newest(depends), Some("linux-image-6.1.0-9-cloud-amd64"));
        assert_eq!(newest("linux-image-cloud-amd64\n"), None);
        assert_eq!(newest("x\n  Depends: something-else\n"), None);
    }
}
