//! How long each test program ran, as `cargo xtask test --times` shows it.
//!
//! Cargo starts every test program through a runner, if it is given one: here `xtask timed FILE`. It
//! adds one line to FILE for each program.

use std::{
    ffi::{OsStr, OsString},
    fmt::Write as _,
    fs::{self, File},
    io::Write as _,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, ExitCode, ExitStatus},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

/// Clock ticks a second in `/proc`: `USER_HZ`, which is 100 on every architecture that Rust's std
/// knows.
const TICKS: u64 = 100;

/// What one test program took.
#[derive(Clone, Debug, Default, PartialEq)]
struct Time {
    /// From its start to its end.
    elapsed: Duration,
    /// Processor time of the program and of the processes that it waited for.
    processor: Duration,
    /// The package and the file, such as `tpm-core it`.
    name: String,
}

/// The arguments that make cargo start test programs through this one.
///
/// # Errors
///
/// If the path of this program cannot be found or is not UTF-8.
pub(super) fn runner(times: &Path) -> Result<[OsString; 2]> {
    let xtask = std::env::current_exe().context("cannot find this program")?;
    let words = [xtask.as_path(), Path::new("timed"), times].map(Path::to_str);
    let words: Option<Vec<&str>> = words.into_iter().collect();
    let words = words.context("the path of the build directory is not UTF-8")?;
    // A JSON array of strings is a TOML array too.
    let words = serde_json::to_string(&words)?;
    let config = format!("target.'cfg(all())'.runner = {words}");
    Ok(["--config".into(), config.into()])
}

/// `xtask timed FILE PROGRAM [ARG]...`: runs the program, adds its time to the file, and ends as the
/// program did.
///
/// # Errors
///
/// If arguments are missing, the program cannot be started, or the file cannot be written.
pub(crate) fn timed(args: &[OsString]) -> Result<ExitCode> {
    let [times, program, args @ ..] = args else {
        anyhow::bail!("timed takes a file, a program and its arguments");
    };
    let start = Instant::now();
    let status = Command::new(program)
        .args(args)
        .status()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let time = Time {
        elapsed: start.elapsed(),
        processor: of_children(&fs::read_to_string("/proc/self/stat")?)
            .context("/proc/self/stat has no times of children")?,
        name: name(program, std::env::var_os("CARGO_PKG_NAME").as_deref()),
    };
    let mut file = File::options().append(true).create(true).open(times)?;
    file.write_all(line(&time).as_bytes())?;
    Ok(ExitCode::from(code(status)))
}

/// The table of the times in `file`, the longest first, with a sum.
///
/// # Errors
///
/// If the file cannot be read.
pub(super) fn table(file: &Path) -> Result<String> {
    let text = fs::read_to_string(file).context("no test program was started")?;
    let mut times: Vec<Time> = text.lines().filter_map(read).collect();
    times.sort_by_key(|time| std::cmp::Reverse(time.elapsed));
    let sum = Time {
        elapsed: times.iter().map(|time| time.elapsed).sum(),
        processor: times.iter().map(|time| time.processor).sum(),
        name: "all of them".to_owned(),
    };
    let mut out = String::from(" elapsed  processor\n");
    for Time {
        elapsed,
        processor,
        name,
    } in times.iter().chain([&sum])
    {
        let (elapsed, processor) = (elapsed.as_secs_f64(), processor.as_secs_f64());
        writeln!(out, "{elapsed:>6.1} s  {processor:>7.1} s  {name}")?;
    }
    Ok(out)
}

/// The fields `cutime` and `cstime` of `/proc/PID/stat`, added: proc_pid_stat(5), fields 16 and 17.
fn of_children(stat: &str) -> Option<Duration> {
    // Field 2 is a file name in parentheses, which may itself hold blanks and parentheses.
    let (_, after) = stat.rsplit_once(')')?;
    let mut ticks = after.split_ascii_whitespace().skip(13);
    let ticks: u64 = ticks.next()?.parse::<u64>().ok()? + ticks.next()?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 1000 / TICKS))
}

/// The package and the file of a test program, without the hash that cargo adds. Documentation tests
/// run in files with names of rustdoc's.
fn name(program: &OsStr, package: Option<&OsStr>) -> String {
    let package = package.map_or("?".into(), OsStr::to_string_lossy);
    let program = Path::new(program);
    let stem = program.file_name().unwrap_or_default().to_string_lossy();
    let in_deps = program.parent().and_then(Path::file_name) == Some(OsStr::new("deps"));
    match stem.rsplit_once('-') {
        Some((file, _)) if in_deps => format!("{package} {file}"),
        _ => format!("{package} documentation"),
    }
}

fn line(time: &Time) -> String {
    let (elapsed, processor) = (time.elapsed.as_millis(), time.processor.as_millis());
    format!("{elapsed} {processor} {}\n", time.name)
}

fn read(line: &str) -> Option<Time> {
    let mut words = line.splitn(3, ' ');
    let mut millis = || Some(Duration::from_millis(words.next()?.parse().ok()?));
    Some(Time {
        elapsed: millis()?,
        processor: millis()?,
        name: words.next()?.to_owned(),
    })
}

/// The exit code as a shell would tell it: 128 and the number of the signal for a killed program.
fn code(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_the_longest_first_and_a_sum() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("times");
        let time = |elapsed, processor, name: &str| Time {
            elapsed: Duration::from_millis(elapsed),
            processor: Duration::from_millis(processor),
            name: name.to_owned(),
        };
        let lines = [
            time(1500, 2000, "agent agent"),
            time(30_000, 41_250, "tpm-core it"),
        ];
        fs::write(&file, lines.iter().map(line).collect::<String>())?;
        assert_eq!(
            table(&file)?,
            "\x20elapsed  processor
  30.0 s     41.2 s  tpm-core it
   1.5 s      2.0 s  agent agent
  31.5 s     43.2 s  all of them
"
        );
        Ok(())
    }

    #[test]
    fn the_times_of_children_are_fields_16_and_17() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 500 900 0 0 1 2 150 25 20 0 1 0 9";
        assert_eq!(of_children(stat), Some(Duration::from_millis(1750)));
        assert_eq!(of_children("7 (a) S 1"), None);
    }

    #[test]
    fn a_program_is_named_by_its_package_and_file() {
        let name = |program: &str| name(program.as_ref(), Some("tpm-core".as_ref()));
        assert_eq!(name("/x/target/debug/deps/it-0b5e"), "tpm-core it");
        assert_eq!(name("/tmp/rustdoctest1/rust_out"), "tpm-core documentation");
    }

    #[test]
    fn a_timed_program_ends_as_it_would_alone() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("times");
        for (script, expected) in [("exit 0", 0), ("exit 101", 101), ("kill -9 $$", 137)] {
            let args = [
                file.as_os_str(),
                "sh".as_ref(),
                "-c".as_ref(),
                script.as_ref(),
            ];
            let code = timed(&args.map(OsStr::to_owned))?;
            // `ExitCode` has no `PartialEq`.
            assert_eq!(
                format!("{code:?}"),
                format!("{:?}", ExitCode::from(expected))
            );
        }
        assert_eq!(fs::read_to_string(&file)?.lines().count(), 3);
        Ok(())
    }
}
