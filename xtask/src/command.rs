//! Running commands, after printing them.

use std::{
    borrow::Cow,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// The build directory: the one that this program is in.
///
/// # Errors
///
/// If this program is in no build directory.
pub(crate) fn target() -> Result<PathBuf> {
    let xtask = std::env::current_exe().context("cannot find this program")?;
    // target/debug/xtask, or target/debug/deps/xtask-… for its tests.
    xtask
        .ancestors()
        .find(|dir| dir.join("CACHEDIR.TAG").is_file())
        .map(Path::to_path_buf)
        .context("this program is in no build directory")
}

/// The cargo that runs this program, at the root of the repository.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

/// Prints a command and runs it.
///
/// # Errors
///
/// If it cannot be started or fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = line(command);
    eprintln!("$ {line}");
    let status = command
        .status()
        .with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed ({status})");
    }
    Ok(())
}

/// The command as a line for a shell. `cargo` is shown without its path.
pub(crate) fn line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let cargo = program.file_name() == Some(OsStr::new("cargo"));
    let program = if cargo {
        OsStr::new("cargo")
    } else {
        program.as_os_str()
    };
    let words: Vec<String> = std::iter::once(program)
        .chain(command.get_args())
        .map(|word| quote(&word.to_string_lossy()).into_owned())
        .collect();
    words.join(" ")
}

/// Quotes a word for a POSIX shell if it needs quotes.
pub(crate) fn quote(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into()
    } else {
        format!("'{}'", word.replace('\'', r"'\''")).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_command_can_be_typed_again() {
        let mut command = Command::new("printf");
        command.args(["%s|", "plain-1", "two words", "it's", "$HOME", "", "*"]);
        let expected = command.output().expect("printf runs");
        let again = Command::new("sh").arg("-c").arg(line(&command)).output();
        assert_eq!(again.expect("sh runs").stdout, expected.stdout);
        assert_eq!(
            line(&command),
            r"printf '%s|' plain-1 'two words' 'it'\''s' '$HOME' '' '*'"
        );
    }

    #[test]
    fn cargo_is_printed_without_its_path() {
        assert!(line(&cargo()).starts_with("cargo"));
    }
}
