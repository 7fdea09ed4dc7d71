//! Background programs that end with their owner.

use std::{
    ffi::OsStr,
    io,
    process::{Child, Command, ExitStatus},
    sync::{Mutex, OnceLock, mpsc},
    thread,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::wait::poll;

/// A running program; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Daemon {
    name: &'static str,
    child: Child,
}

impl Daemon {
    /// Starts what [`command`] prepared.
    ///
    /// # Panics
    ///
    /// If the program cannot be started.
    pub(crate) fn spawn(name: &'static str, command: Command) -> Self {
        let child = spawn(command).unwrap_or_else(|err| panic!("cannot start {name}: {err}"));
        Self { name, child }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, if the program has ended by itself.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child
            .try_wait()
            .unwrap_or_else(|err| panic!("cannot wait for {}: {err}", self.name))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.expect("the id of a child is a positive number");
        // The child was not waited for, so its id belongs to no other process.
        kill_process(pid, signal)
            .unwrap_or_else(|err| panic!("cannot signal {}: {err}", self.name));
    }

    /// Asks the program to end and waits until it has, with SIGKILL as the last resort.
    pub(crate) fn terminate(mut self) {
        if self.ended().is_none() {
            self.signal(Signal::TERM);
        }
        poll(|| self.ended());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail only if the program has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command for a background program, which dies with the test program.
///
/// `setpriv` execs `program`, so the process id is that of `program`.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command.stdin(std::process::Stdio::null());
    command
}

/// Starts a program from a thread that lives as long as this process.
///
/// The kernel sends the "parent died" signal when the *thread* that forked ends, and a test may
/// pass the process on to another thread.
fn spawn(command: Command) -> io::Result<Child> {
    type Job = (Command, mpsc::Sender<io::Result<Child>>);
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Job>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, jobs) = mpsc::channel::<Job>();
        thread::spawn(move || {
            for (mut command, reply) in jobs {
                // A failure means that the caller is gone. The child must not outlive it.
                if let Err(mpsc::SendError(Ok(mut child))) = reply.send(command.spawn()) {
                    let _ = child.kill();
                    let _ = child.wait();
                }
            }
        });
        Mutex::new(sender)
    });
    let (reply, answer) = mpsc::channel();
    spawner
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .send((command, reply))
        .expect("the spawning thread never ends");
    answer
        .recv()
        .expect("the spawning thread answers every job")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Whether there is such a process, also a zombie.
    fn exists(pid: u32) -> bool {
        std::path::Path::new(&format!("/proc/{pid}")).exists()
    }

    fn sleeper() -> Daemon {
        let mut sleep = command("sleep");
        sleep.arg("600");
        Daemon::spawn("sleep", sleep)
    }

    #[test]
    fn a_dropped_program_is_gone() {
        let sleep = sleeper();
        let pid = sleep.id();
        assert!(exists(pid));
        drop(sleep);
        assert!(!exists(pid));
    }

    #[test]
    fn a_program_outlives_the_thread_that_asked_for_it() {
        let mut sleep = thread::spawn(sleeper).join().expect("the thread ends well");
        // A wrong parent-death signal would have been sent before `join` returned; give it a
        // chance to be seen by asking for something else from the same kernel.
        for _ in 0..50 {
            assert!(sleep.ended().is_none());
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_terminated_program_is_gone() {
        let sleep = sleeper();
        let pid = sleep.id();
        sleep.terminate();
        assert!(!exists(pid));
    }
}
