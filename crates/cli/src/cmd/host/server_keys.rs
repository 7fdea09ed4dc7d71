//! Which host keys in files sshd uses, apart from those of the TPM.
//!
//! sshd chooses a host key by its type and curve. If the TPM has one and a file has another of
//! the same type and curve, sshd shows the first and signs with the one in the file, so that no
//! client can connect. That is why the types of the files have to be known.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ssh_format::AnyKey;

use super::place::{self, MachineArgs};

/// How deep files may include each other; sshd's own limit.
const MAX_DEPTH: usize = 16;

/// The names of the default host keys of the OpenSSH releases up to 10.6, for a machine whose
/// sshd does not say.
const KNOWN_DEFAULTS: [&str; 4] = [
    "ssh_host_rsa_key",
    "ssh_host_ecdsa_key",
    "ssh_host_ed25519_key",
    "ssh_host_mldsa44_ed25519_key",
];

/// A host key in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileKey {
    pub(super) path: PathBuf,
    /// Its public half; unknown if neither the file nor the `.pub` beside it can be read.
    pub(super) public: Option<AnyKey>,
    /// The line of the configuration that names it; none if it is one of sshd's defaults.
    pub(super) named: Option<Line>,
}

/// A line of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) file: PathBuf,
    pub(super) number: usize,
}

impl FileKey {
    /// The line that names it.
    pub(super) fn named(&self) -> Option<&Line> {
        self.named.as_ref()
    }

    /// Whether sshd takes this key and one of the TPM with this algorithm for the same.
    pub(super) fn has_algorithm(&self, algorithm: &str) -> bool {
        self.public
            .as_ref()
            .is_some_and(|public| public.algorithm() == algorithm)
    }
}

/// The host keys in files that sshd would use if tpmssh's drop-in were not there.
pub(super) fn in_use(machine: &MachineArgs) -> Vec<FileKey> {
    let reader = Reader {
        machine,
        keyword: "hostkey",
        skipped: Some(machine.drop_in()),
    };
    let lines = reader.all();
    if !lines.is_empty() {
        return lines.into_iter().map(named).collect();
    }
    let paths = defaults().into_iter().map(|path| reader.moved(path));
    paths
        .filter(|path| path.exists())
        .map(|path| FileKey {
            public: public_half(&path),
            path,
            named: None,
        })
        .collect()
}

/// The host keys in files that sshd's configuration names, tpmssh's drop-in included.
pub(super) fn listed(machine: &MachineArgs) -> Vec<FileKey> {
    let lines = Reader {
        machine,
        keyword: "hostkey",
        skipped: None,
    }
    .all();
    lines.into_iter().map(named).collect()
}

/// The first line of sshd's configuration, apart from tpmssh's drop-in, that sets `keyword` (in lower case) to a file.
pub(super) fn set_elsewhere(machine: &MachineArgs, keyword: &'static str) -> Option<Line> {
    let reader = Reader {
        machine,
        keyword,
        skipped: Some(machine.drop_in()),
    };
    let mut lines = reader.all().into_iter();
    let found = lines.find(|(path, _)| !path.as_os_str().eq_ignore_ascii_case("none"));
    found.map(|(_, line)| line)
}

fn named((path, line): (PathBuf, Line)) -> FileKey {
    FileKey {
        public: public_half(&path),
        path,
        named: Some(line),
    }
}

/// The host keys that sshd has if no file names any, whether they exist or not.
fn defaults() -> Vec<PathBuf> {
    // sshd -G (OpenSSH 9.3) needs no host key; sshd -T of older releases needs an existing one.
    let said = ["-G", "-T"].into_iter().find_map(|option| {
        let output = Command::new(sshd())
            .args([option, "-f", "/dev/null"])
            .stdin(Stdio::null())
            .output()
            .ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let keys = host_keys(&text);
        (output.status.success() && !keys.is_empty()).then_some(keys)
    });
    said.unwrap_or_else(|| {
        let known = KNOWN_DEFAULTS.into_iter();
        known.map(|name| Path::new("/etc/ssh").join(name)).collect()
    })
}

/// The host keys in what `sshd -T` or `sshd -G` prints: the keyword is `hostkey`, and `HostKey`
/// since OpenSSH 10.6.
fn host_keys(settings: &str) -> Vec<PathBuf> {
    let settings = settings.lines().filter_map(|line| line.split_once(' '));
    settings
        .filter(|(keyword, _)| keyword.eq_ignore_ascii_case("hostkey"))
        .map(|(_, path)| PathBuf::from(path))
        .collect()
}

/// The server program, which insists on being called by its full path.
fn sshd() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    dirs.map(|dir| dir.join("sshd"))
        .find(|program| program.is_file())
        .unwrap_or_else(|| "/usr/sbin/sshd".into())
}

/// The public half of the key in a file: what the private file says, else the `.pub` beside it.
fn public_half(path: &Path) -> Option<AnyKey> {
    let output = Command::new("ssh-keygen")
        .args(["-y", "-P", "", "-f"])
        .arg(path)
        .stdin(Stdio::null())
        .output();
    let of_private = output
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok());
    let mut beside = path.to_owned().into_os_string();
    beside.push(".pub");
    let text = of_private.or_else(|| fs::read_to_string(beside).ok())?;
    AnyKey::from_line(text.trim_end()).ok().map(|(key, _)| key)
}

/// Reads sshd_config(5) for the lines with a keyword in it and in what it includes.
struct Reader<'a> {
    machine: &'a MachineArgs,
    /// In lower case; its value is a file.
    keyword: &'static str,
    /// A file that is left out.
    skipped: Option<PathBuf>,
}

impl Reader<'_> {
    fn all(&self) -> Vec<(PathBuf, Line)> {
        let mut found = Vec::new();
        self.read(&self.machine.sshd_config(), 0, &mut found);
        found
    }

    fn read(&self, file: &Path, depth: usize, found: &mut Vec<(PathBuf, Line)>) {
        if depth > MAX_DEPTH || Some(file) == self.skipped.as_deref() {
            return;
        }
        let text = fs::read_to_string(file).unwrap_or_default();
        for (index, line) in text.lines().enumerate() {
            let (keyword, values) = words(line);
            match keyword.to_ascii_lowercase().as_str() {
                keyword if keyword == self.keyword => {
                    let paths = values.into_iter().take(1).map(PathBuf::from);
                    let paths = paths.map(|path| self.moved(path));
                    let line = Line {
                        file: file.to_owned(),
                        number: index + 1,
                    };
                    found.extend(
                        paths
                            .filter(|path| !place::is_ours(path))
                            .map(|path| (path, line.clone())),
                    );
                }
                "include" => {
                    for pattern in values {
                        for file in self.matching(&pattern) {
                            self.read(&file, depth + 1, found);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// The files that a pattern of `Include` means, in sshd's order; `*` and `?` are understood
    /// in the last part.
    fn matching(&self, pattern: &str) -> Vec<PathBuf> {
        // A path that is not absolute is below sshd's directory.
        let path = self.moved(self.machine.ssh().join(pattern));
        let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
            return Vec::new();
        };
        let name = name.to_string_lossy();
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        let mut files: Vec<_> = entries
            .filter(|entry| matches(&name, &entry.file_name().to_string_lossy()))
            .map(|entry| entry.path())
            .collect();
        files.sort();
        files
    }

    /// A path below `/etc`, in the configuration that is meant.
    fn moved(&self, path: PathBuf) -> PathBuf {
        match path.strip_prefix("/etc") {
            Ok(below) => self.machine.etc.join(below),
            Err(_) => path,
        }
    }
}

/// Whether a file name matches a pattern of glob(7) without brackets.
fn matches(pattern: &str, name: &str) -> bool {
    match (pattern.chars().next(), name.chars().next()) {
        (None, None) => true,
        (Some('*'), _) => {
            matches(&pattern[1..], name)
                || name
                    .chars()
                    .next()
                    .is_some_and(|c| matches(pattern, &name[c.len_utf8()..]))
        }
        (Some(p), Some(n)) if p == '?' || p == n => {
            matches(&pattern[p.len_utf8()..], &name[n.len_utf8()..])
        }
        _ => false,
    }
}

/// The keyword and the values of a line: words, or text between double quotes; an equals sign may
/// follow the keyword.
fn words(line: &str) -> (String, Vec<String>) {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() && !rest.starts_with('#') {
        let (word, after) = if let Some(quoted) = rest.strip_prefix('"') {
            quoted.split_once('"').unwrap_or((quoted, ""))
        } else {
            let is_end = |c: char| c.is_whitespace() || (words.is_empty() && c == '=');
            rest.split_at(rest.find(is_end).unwrap_or(rest.len()))
        };
        words.push(word.to_owned());
        let after = after.trim_start();
        rest = match after.strip_prefix('=') {
            Some(value) if words.len() == 1 => value.trim_start(),
            _ => after,
        };
    }
    if words.is_empty() {
        return (String::new(), words);
    }
    let keyword = words.remove(0);
    (keyword, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_sshd_reads_it() {
        let read = |line| {
            let (keyword, values) = words(line);
            format!("{keyword}|{}", values.join("|"))
        };
        for (line, read_as) in [
            ("HostKey /etc/ssh/key", "HostKey|/etc/ssh/key"),
            ("\thostkey=/etc/ssh/key # mine", "hostkey|/etc/ssh/key"),
            ("HostKey = \"/etc/my keys/a\"", "HostKey|/etc/my keys/a"),
            ("Include a.conf \"b c\"", "Include|a.conf|b c"),
            ("# HostKey /etc/ssh/key", "|"),
            ("", "|"),
        ] {
            assert_eq!(read(line), read_as, "{line:?}");
        }
    }

    #[test]
    fn the_host_keys_of_any_release_are_found_in_its_settings() {
        let old = "port 22\nhostkey /etc/ssh/a\nhostkeyagent none\nhostkey /etc/ssh/b\n";
        let new = old.replace("hostkey", "HostKey");
        for settings in [old, &new] {
            assert_eq!(
                host_keys(settings),
                ["/etc/ssh/a", "/etc/ssh/b"].map(PathBuf::from)
            );
        }
    }

    #[test]
    fn a_pattern_matches_names() {
        for (pattern, name, does) in [
            ("*.conf", "10-a.conf", true),
            ("*.conf", "a.conf.bak", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*", "é", true),
            ("a*b*c", "axbyc", true),
        ] {
            assert_eq!(matches(pattern, name), does, "{pattern} {name}");
        }
    }

    #[test]
    fn named_keys_are_found_in_included_files_and_the_drop_in_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let machine = MachineArgs {
            store: "/nonexistent".into(),
            socket: "/nonexistent".into(),
            etc: dir.path().to_owned(),
        };
        let drop_ins = dir.path().join("ssh/sshd_config.d");
        fs::create_dir_all(&drop_ins).unwrap();
        let main = "Include /etc/ssh/sshd_config.d/*.conf\n#HostKey /etc/ssh/none\n";
        fs::write(machine.sshd_config(), main).unwrap();
        fs::write(machine.drop_in(), "HostKey /etc/ssh/old\n").unwrap();
        let other = drop_ins.join("20-other.conf");
        let keys = "hostkey=/keys/a\nHostKey /etc/ssh/ssh_host_tpm_rsa_key.pub\n";
        fs::write(&other, keys).unwrap();
        let found = in_use(&machine);
        let line = Line {
            file: other,
            number: 1,
        };
        assert_eq!(
            found,
            [FileKey {
                path: "/keys/a".into(),
                public: None,
                named: Some(line)
            }]
        );
    }
}
