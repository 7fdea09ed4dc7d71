//! Tests in processes of their own: what `C_Initialize` begins belongs to a whole process.

use std::{
    any::type_name,
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    process::Command,
};

use crate::world::World;

/// Set if this process is the inner one.
const INSIDE: &str = "TPMSSH_TEST_INSIDE";
/// A program with its arguments, separated by blanks, under which inner processes run.
const UNDER: &str = "TPMSSH_TEST_UNDER";
/// How long one case may take, in seconds.
const PATIENCE: u32 = 60;

/// Runs `body` in a process of its own, in the home of a world that the outer process makes
/// and keeps.
///
/// `body` has to be a closure in the test function itself: the inner process is this very
/// program with the name of that function.
pub(crate) fn isolated<B: FnOnce()>(world: impl FnOnce() -> World, body: B) {
    if env::var_os(INSIDE).is_some() {
        return body();
    }
    let (_, name) = type_name::<B>().split_once("::").expect("a path");
    let name = name.trim_end_matches("::{{closure}}");
    let world = world();
    let program = env::current_exe().expect("a running program has a path");
    let mut command = match env::var(UNDER) {
        Err(_) => world.home.command(program),
        Ok(under) => {
            let mut words = under.split(' ');
            let mut command = world.home.command(words.next().expect("a program"));
            command.args(words).arg(program);
            command
        }
    };
    command.envs(world.variables().iter().cloned());
    run(command.env(INSIDE, "1").args([
        "--exact",
        name,
        // On the main thread, so that the process can fork.
        "--test-threads=1",
        "--nocapture",
    ]));
    world.check();
}

fn run(command: &mut Command) {
    let output = command.output().expect("it starts");
    let printed = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}\n{printed}{errors}",
        output.status
    );
    for noise in ["GLib", "CRITICAL", "WARNING", "ERROR:"] {
        assert!(!errors.contains(noise), "a library printed: {errors}");
    }
    print!("{printed}");
    assert!(
        printed.contains("1 passed"),
        "the test was found: {printed}"
    );
}

/// What becomes of a forked child.
pub(crate) type Ending = Result<(), String>;

/// A forked child.
pub(crate) struct Child(libc::pid_t);

/// Runs `body` in a forked child and waits for its end.
pub(crate) fn forked(body: impl FnOnce()) -> Ending {
    started(body).ended()
}

/// Runs `body` in a forked child.
///
/// Of the threads of this process the child has this one alone.
pub(crate) fn started(body: impl FnOnce()) -> Child {
    // SAFETY: the child runs on in this thread alone, and ends without leaving this function.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork fails");
    if pid == 0 {
        // SAFETY: a number; a child that hangs is ended by the signal.
        unsafe { libc::alarm(PATIENCE) };
        let outcome = catch_unwind(AssertUnwindSafe(body));
        // SAFETY: ends the process without running what belongs to the parent.
        unsafe { libc::_exit(i32::from(outcome.is_err())) };
    }
    Child(pid)
}

impl Child {
    /// Waits for its end.
    pub(crate) fn ended(self) -> Ending {
        let mut status = 0;
        // SAFETY: the child is ours.
        let ended = unsafe { libc::waitpid(self.0, &raw mut status, 0) };
        assert_eq!(ended, self.0);
        if status == 0 {
            Ok(())
        } else if libc::WIFSIGNALED(status) {
            Err(format!("ended by signal {}", libc::WTERMSIG(status)))
        } else {
            Err(format!("exit code {}", libc::WEXITSTATUS(status)))
        }
    }

    /// Ends it, wherever it is.
    pub(crate) fn kill(self) {
        // SAFETY: the child is ours, and has not been waited for.
        let killed = unsafe { libc::kill(self.0, libc::SIGKILL) };
        assert_eq!(killed, 0);
        let ending = self.ended();
        assert_eq!(ending, Err(format!("ended by signal {}", libc::SIGKILL)));
    }
}
