//! The nodes of the kernel's resource manager: `/dev/tpmrm0` and higher numbers.
//!
//! A chip gets another number if its driver is bound again while a program holds the old node
//! open, so a connection to "the TPM of this machine" looks for the node each time it is opened.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rustix::io::Errno;

use super::{device::Device, exchange::Deadline};
use crate::{Error, Result};

/// Where the nodes are, and where the kernel tells what they belong to.
pub(crate) struct Nodes {
    /// The directory of the nodes.
    dev: PathBuf,
    /// The kernel's directory of character devices, by `MAJOR:MINOR`.
    char: PathBuf,
}

/// A node that was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) path: PathBuf,
    /// The chip's place on the machine's buses, the same whatever number its node has; `None` if
    /// the kernel does not tell.
    chip: Option<PathBuf>,
}

impl Nodes {
    pub(crate) fn of_this_machine() -> Self {
        Self {
            dev: "/dev".into(),
            char: "/sys/dev/char".into(),
        }
    }

    /// All nodes, the lowest number first.
    pub(crate) fn list(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.dev).into_iter().flatten().flatten();
        let mut numbers: Vec<u32> = entries
            .filter_map(|entry| number(entry.file_name().to_str()?))
            .collect();
        numbers.sort_unstable();
        let path = |number| self.dev.join(format!("tpmrm{number}"));
        numbers.into_iter().map(path).collect()
    }

    /// Opens the node with the lowest number that can be opened and belongs to a TPM.
    ///
    /// After `before` was open, a node of a chip that is known to be another one is passed over.
    ///
    /// # Errors
    ///
    /// [`Error::PermissionDenied`] for the first node that this user may not open; else the failure
    /// of the first node; [`Error::NoTpm`] if there is no node.
    pub(super) fn open(&self, before: Option<&Node>, deadline: Deadline) -> Result<(Device, Node)> {
        let mut failure: Option<Error> = None;
        for path in self.list() {
            let opened = Device::open(&path, deadline).and_then(|device| {
                let chip = self.chip(&device, &path)?;
                Ok((device, Node { path, chip }))
            });
            match opened {
                Ok((_, node)) if before.is_some_and(|before| node.is_other(before)) => {}
                Ok(opened) => return Ok(opened),
                Err(err) => {
                    let is_first_denied = matches!(err, Error::PermissionDenied { .. })
                        && !matches!(failure, Some(Error::PermissionDenied { .. }));
                    if is_first_denied || failure.is_none() {
                        failure = Some(err);
                    }
                }
            }
        }
        Err(failure.unwrap_or_else(|| {
            let path = before.map_or_else(|| self.dev.join("tpmrm*"), |node| node.path.clone());
            no_tpm(&path, Errno::NOENT.into())
        }))
    }

    /// The place of the chip whose node `path` was opened as `device`.
    ///
    /// # Errors
    ///
    /// [`Error::NoTpm`] if the kernel says that it belongs to something else.
    fn chip(&self, device: &Device, path: &Path) -> Result<Option<PathBuf>> {
        let Some((major, minor)) = device.numbers() else {
            return Ok(None);
        };
        let device = self.char.join(format!("{major}:{minor}"));
        let class = fs::read_link(device.join("subsystem")).ok();
        if class.is_some_and(|class| !class.ends_with("tpmrm")) {
            return Err(no_tpm(path, io::Error::other("not the device of a TPM")));
        }
        Ok(fs::canonicalize(device.join("device")).ok())
    }
}

impl Node {
    /// Whether both are known to belong to different chips.
    fn is_other(&self, before: &Self) -> bool {
        matches!((&self.chip, &before.chip), (Some(chip), Some(other)) if chip != other)
    }
}

/// The number in a node's name, written as the kernel writes it.
fn number(name: &str) -> Option<u32> {
    let number = name.strip_prefix("tpmrm")?.parse().ok()?;
    (name == format!("tpmrm{number}")).then_some(number)
}

fn no_tpm(path: &Path, source: io::Error) -> Error {
    let tcti = format!("device:{}", path.display());
    Error::NoTpm { tcti, source }
}

#[cfg(test)]
mod tests {
    use std::{error::Error as StdError, os::unix::fs::symlink, time::Duration};

    use tempfile::TempDir;
    use testing::assert_matches;

    use super::*;

    type TestResult = std::result::Result<(), Box<dyn StdError>>;

    /// Two directories in the place of `/dev` and `/sys/dev/char`. Links to devices that exist
    /// everywhere stand for nodes.
    struct Machine(TempDir);

    impl Machine {
        fn new() -> io::Result<Self> {
            let dir = tempfile::tempdir()?;
            fs::create_dir(dir.path().join("dev"))?;
            Ok(Self(dir))
        }

        fn nodes(&self) -> Nodes {
            Nodes {
                dev: self.0.path().join("dev"),
                char: self.0.path().join("char"),
            }
        }

        fn dev(&self, name: &str) -> PathBuf {
            self.0.path().join("dev").join(name)
        }

        /// A node of the device `target` (`/dev/null` is 1:3, `/dev/zero` 1:5).
        fn add(&self, name: &str, target: &str) -> io::Result<()> {
            symlink(target, self.dev(name))
        }

        /// Has the kernel tell that a device is of this class, and at this place.
        fn tell(&self, numbers: &str, class: &str, chip: &str) -> io::Result<()> {
            let device = self.0.path().join("char").join(numbers);
            fs::create_dir_all(&device)?;
            fs::create_dir_all(self.0.path().join(chip))?;
            symlink(format!("../../class/{class}"), device.join("subsystem"))?;
            symlink(self.0.path().join(chip), device.join("device"))
        }

        fn open(&self, before: Option<&Node>) -> Result<Node> {
            let deadline = Deadline::after(Duration::from_secs(1));
            Ok(self.nodes().open(before, deadline)?.1)
        }

        fn opened(&self, before: Option<&Node>) -> Result<String> {
            let path = self.open(before)?.path;
            let name = path.file_name().expect("a node has a name");
            Ok(name.to_string_lossy().into_owned())
        }
    }

    #[test]
    fn nodes_are_listed_by_their_number_and_nothing_else_is() -> TestResult {
        let machine = Machine::new()?;
        for name in [
            "tpmrm10", "tpmrm2", "tpm0", "tpmrm", "tpmrm01", "tpmrm1x", "tpmrm-1", "xtpmrm3",
        ] {
            machine.add(name, "/dev/null")?;
        }
        machine.add("tpmrm99999999999", "/dev/null")?;
        assert_eq!(
            machine.nodes().list(),
            [machine.dev("tpmrm2"), machine.dev("tpmrm10")]
        );
        Ok(())
    }

    #[test]
    fn the_lowest_number_that_works_is_opened() -> TestResult {
        let machine = Machine::new()?;
        fs::write(machine.dev("tpmrm0"), "a regular file")?;
        machine.add("tpmrm1", "/dev/no such device")?;
        fs::create_dir(machine.dev("tpmrm2"))?;
        machine.add("tpmrm3", "/dev/zero")?;
        machine.tell("1:5", "mem", "zero")?;
        machine.add("tpmrm4", "/dev/null")?;
        machine.add("tpmrm5", "/dev/full")?;
        assert_eq!(machine.opened(None)?, "tpmrm4");
        assert_eq!(fs::read(machine.dev("tpmrm0"))?, b"a regular file");
        Ok(())
    }

    #[test]
    fn a_machine_without_a_node_says_which_were_looked_for() -> TestResult {
        let machine = Machine::new()?;
        let err = machine.open(None).expect_err("there is none");
        let looked_for = machine.dev("tpmrm*");
        assert_eq!(
            err.to_string(),
            format!("no TPM at device:{}", looked_for.display())
        );
        Ok(())
    }

    #[test]
    fn what_is_no_device_is_told_of_the_first_node() -> TestResult {
        let machine = Machine::new()?;
        fs::write(machine.dev("tpmrm0"), "")?;
        machine.add("tpmrm1", "/dev/zero")?;
        machine.tell("1:5", "mem", "zero")?;
        let said = |err: Error| {
            let source = err.source().map(ToString::to_string).unwrap_or_default();
            format!("{err}: {source}")
        };
        let err = machine.open(None).expect_err("a regular file");
        let place = |name| format!("no TPM at device:{}", machine.dev(name).display());
        assert_eq!(said(err), place("tpmrm0") + ": not a device");
        fs::remove_file(machine.dev("tpmrm0"))?;
        let err = machine.open(None).expect_err("another device");
        assert_eq!(said(err), place("tpmrm1") + ": not the device of a TPM");
        Ok(())
    }

    #[test]
    fn a_chip_that_was_open_is_found_under_its_new_number_and_no_other_chip_is() -> TestResult {
        let machine = Machine::new()?;
        machine.add("tpmrm0", "/dev/null")?;
        machine.tell("1:3", "tpmrm", "chip")?;
        let node = machine.open(None)?;
        assert_eq!(node.path, machine.dev("tpmrm0"));

        // It goes away, and another chip is there.
        fs::remove_file(machine.dev("tpmrm0"))?;
        machine.add("tpmrm1", "/dev/zero")?;
        machine.tell("1:5", "tpmrm", "other")?;
        let err = machine.open(Some(&node)).expect_err("another chip");
        assert_matches!(&err, Error::NoTpm { tcti, .. } if tcti.ends_with("/tpmrm0"));
        assert_eq!(machine.opened(None)?, "tpmrm1");

        // It comes back with a higher number.
        machine.add("tpmrm2", "/dev/full")?;
        machine.tell("1:7", "tpmrm", "chip")?;
        assert_eq!(machine.opened(Some(&node))?, "tpmrm2");
        Ok(())
    }

    /// As in a container without `/sys`: whether it is the same chip is left to the Name of its
    /// storage root key.
    #[test]
    fn a_chip_that_the_kernel_tells_nothing_of_may_be_the_one_that_was_open() -> TestResult {
        let machine = Machine::new()?;
        machine.add("tpmrm0", "/dev/null")?;
        let node = machine.open(None)?;
        fs::remove_file(machine.dev("tpmrm0"))?;
        machine.add("tpmrm1", "/dev/zero")?;
        assert_eq!(machine.opened(Some(&node))?, "tpmrm1");
        Ok(())
    }
}
