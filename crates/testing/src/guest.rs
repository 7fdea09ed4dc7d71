//! A virtual machine with its own Linux kernel. Only there can a test use the kernel's TPM driver
//! and its resource manager, `/dev/tpmrm0`.

use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::{OpenOptionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use crate::{
    process::{Daemon, command},
    temp::temp_dir,
    wait::poll,
    watchdog,
};

/// Mounts the file systems that a shell needs and runs the script. The machine switches itself off
/// afterwards.
const INIT: &str = "#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /run /tmp
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s /bin
export PATH=/bin HOME=/root
sh /guest.sh >/dev/ttyS0 2>&1
poweroff -f
";

/// How long a guest may take, in seconds. It is emulated without KVM, so that it needs no
/// privilege.
const PATIENCE: &str = "450";

/// The limit of its programs: `timeout` is to end the machine first, so that its output tells how far it came.
const LIMIT: &str = "460";

/// A machine that is assembled and then runs one script.
///
/// It has the programs that were added, with the libraries that they are linked to, busybox, and a
/// blank simulated TPM behind an emulated TIS chip. It has no network and no disk.
#[derive(Debug)]
pub struct Guest {
    dir: TempDir,
}

impl Guest {
    /// An empty machine.
    ///
    /// # Panics
    ///
    /// If a temporary directory or busybox is missing.
    #[must_use]
    pub fn new() -> Self {
        let guest = Self {
            dir: temp_dir("tpmssh-guest-"),
        };
        guest
            .with_file("/init", INIT)
            .with_file(
                "/etc/passwd",
                "root:x:0:0:root:/root:/bin/sh\nanna:x:1000:1000:Anna:/home/anna:/bin/sh\n",
            )
            .with_program("/bin/busybox", "/bin/busybox")
    }

    /// Adds a program or library, and the libraries that it is linked to.
    ///
    /// # Panics
    ///
    /// If it cannot be copied.
    #[must_use]
    pub fn with_program(self, from: impl AsRef<Path>, to: &str) -> Self {
        let from = from.as_ref();
        self.strip(from, to);
        for library in libraries(from) {
            let to = library.to_string_lossy().into_owned();
            self.link(&library, &to);
        }
        self
    }

    /// Adds an executable file.
    ///
    /// # Panics
    ///
    /// If it cannot be written.
    #[must_use]
    pub fn with_file(self, to: &str, content: &str) -> Self {
        let path = self.path(to);
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o755)
            .open(&path)
            .and_then(|mut file| file.write_all(content.as_bytes()))
            .unwrap_or_else(|err| panic!("cannot write {}: {err}", path.display()));
        self
    }

    /// Runs `script` in the machine and returns its output.
    ///
    /// # Panics
    ///
    /// If there is no kernel, or qemu cannot be started.
    #[must_use]
    pub fn run(self, script: &str) -> String {
        let guest = self.with_file("/guest.sh", script);
        fs::create_dir_all(guest.root().join("root")).expect("a fresh directory is writable");
        let image = guest.dir.path().join("initrd");
        pack(&guest.root(), &image);

        let state = guest.dir.path().join("tpm");
        fs::create_dir(&state).expect("a fresh directory is writable");
        let control = state.join("control");
        let mut swtpm = command("swtpm");
        swtpm
            .args(["socket", "--tpm2", "--terminate", "--tpmstate"])
            .arg(format!("dir={}", state.display()))
            .arg("--ctrl")
            .arg(format!("type=unixio,path={}", control.display()));
        watchdog::limit(&mut swtpm, LIMIT);
        let _swtpm = Daemon::spawn("swtpm", swtpm);
        poll(|| is_listening(&control).then_some(())).expect("swtpm makes its socket");

        // `timeout` ends a machine that hangs. Its output until then tells where.
        let mut machine = command("timeout");
        machine
            .args([PATIENCE, "qemu-system-x86_64", "-accel", "tcg"])
            // Without this instruction, the kernel takes a second to make its first random numbers.
            .args(["-cpu", "qemu64,+rdrand"])
            .args(["-m", "512", "-display", "none", "-nodefaults", "-no-reboot"])
            .args([
                "-serial",
                "stdio",
                "-append",
                // On a busy machine the emulated timer comes too late for the kernel's check of it.
                // The emulator keeps the code that it has translated by its address: a program
                // that is at another address each time is translated each time.
                "console=ttyS0 quiet panic=-1 no_timer_check norandmaps",
            ])
            .arg("-kernel")
            .arg(kernel())
            .arg("-initrd")
            .arg(image)
            .arg("-chardev")
            .arg(format!("socket,id=tpm,path={}", control.display()))
            .args(["-tpmdev", "emulator,id=tpm,chardev=tpm"])
            .args(["-device", "tpm-tis,tpmdev=tpm"]);
        watchdog::limit(&mut machine, LIMIT);
        let output = machine
            .output()
            .expect("qemu-system-x86_64 (package qemu-system-x86) is installed");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\r', "");
        text(&output.stdout) + &text(&output.stderr)
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// The path outside of the machine for its absolute path `inside`. Makes the directory.
    fn path(&self, inside: &str) -> PathBuf {
        let path = self.root().join(inside.trim_start_matches('/'));
        let dir = path.parent().expect("a file is in a directory");
        fs::create_dir_all(dir).expect("a fresh directory is writable");
        path
    }

    /// Copies a program without its debug information, which is a third of what the kernel would have to unpack.
    fn strip(&self, from: &Path, to: &str) {
        let path = self.path(to);
        let status = Command::new("strip")
            .args(["--strip-debug", "-o"])
            .args([&path, from])
            .status()
            .expect("strip comes with the linker");
        assert!(status.success(), "cannot strip {}", from.display());
    }

    /// Links to a library, which saves copying it. The link is followed when the disk is packed.
    fn link(&self, from: &Path, to: &str) {
        let path = self.path(to);
        if !path.exists() {
            let from = from
                .canonicalize()
                .unwrap_or_else(|err| panic!("no {}: {err}", from.display()));
            symlink(&from, &path).expect("a fresh directory is writable");
        }
    }
}

/// Whether a program listens at a socket, by `/proc/net/unix` (proc(5)). swtpm would end after the first connection.
fn is_listening(socket: &Path) -> bool {
    let sockets = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let path = socket.display().to_string();
    sockets.lines().any(|line| {
        // `__SO_ACCEPTCON` of Linux, the flag of sockets that listen.
        line.split_whitespace().nth(3) == Some("00010000") && line.ends_with(&path)
    })
}

impl Default for Guest {
    fn default() -> Self {
        Self::new()
    }
}

/// The shared libraries and the loader that a program or library needs, as absolute paths.
fn libraries(program: &Path) -> BTreeSet<PathBuf> {
    let output = Command::new("ldd")
        .arg(program)
        .output()
        .expect("ldd comes with the C library");
    // ldd fails for a static program, which needs no libraries.
    String::from_utf8_lossy(&output.stdout)
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect()
}

/// Writes the directory `root` as an initial RAM disk.
fn pack(root: &Path, image: &Path) {
    let find = Command::new("find")
        .arg(".")
        .current_dir(root)
        .output()
        .expect("find is everywhere");
    let file = fs::File::create(image).expect("a fresh directory is writable");
    let mut cpio = Command::new("cpio")
        .args(["--create", "--format=newc", "--dereference", "--quiet"])
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(file)
        .spawn()
        .expect("cpio (package cpio) is installed");
    cpio.stdin
        .take()
        .expect("it was asked for")
        .write_all(&find.stdout)
        .expect("cpio reads the list");
    assert!(cpio.wait().expect("cpio ends").success(), "cpio failed");
}

/// The kernel that `cargo xtask test` has fetched into the build directory.
fn kernel() -> PathBuf {
    let program = std::env::current_exe().expect("a running program has a path");
    program
        .ancestors()
        .map(|dir| dir.join("kernel/vmlinuz"))
        .find(|path| path.is_file())
        .unwrap_or_else(|| {
            panic!(
                "no kernel/vmlinuz above {}: `cargo xtask test` fetches it",
                program.display()
            )
        })
}
