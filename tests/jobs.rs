//! Questions in a shell with job control: Ctrl-Z, `fg`, `bg`, `&`, and signals meanwhile.

use crate::program::{PIN, Program, text};
use crate::terminal::Session;

/// An interactive shell in the home of a program.
fn shell(program: &Program) -> Session {
    let mut command = program.home.command("setsid");
    command.args(["--ctty", "bash", "--norc", "--noprofile", "-i"]);
    command.env("PS1", "$ ").env("TERM", "dumb");
    command.env("tpmssh", env!("CARGO_BIN_EXE_tpmssh"));
    let mut shell = Session::spawn(command);
    shell.expect("$ ");
    shell
}

/// Waits until typing is shown, or not.
#[track_caller]
fn wait_for_echo(shell: &Session, echoes: bool) {
    testing::eventually(|| shell.echoes() == echoes);
}

/// Waits until the shell knows that its job is stopped.
#[track_caller]
fn wait_for_stop(shell: &mut Session) {
    shell.type_in("until jobs %1 | grep -q Stopped; do sleep .05; done; echo it ' stopped'\n");
    shell.expect("it  stopped");
}

/// The end of a job whose PIN was typed last: a key, and no PIN on the screen.
fn made(mut shell: Session, label: &str, program: &Program) {
    let made = shell.expect("fingerprint  SHA256:");
    shell.type_in("exit\n");
    let (_, rest) = shell.end();
    assert!(!rest.contains(PIN), "{rest}");
    assert!(!made.contains(QUESTION), "asked twice: {made}");
    let keys = program.run(&["list-objects", "--json"]).ok();
    assert!(keys.contains(&format!("\"label\": \"{label}\"")), "{keys}");
}

const QUESTION: &str = "PIN for token \"work\": ";

#[test]
fn after_ctrl_z_and_fg_the_pin_is_asked_for_again_and_not_shown() {
    let program = Program::with_token();
    let mut shell = shell(&program);
    shell.type_in("$tpmssh keygen -C mine\n");
    for back in ["fg\n", "fg\n", "bg\n"] {
        shell.expect(QUESTION);
        wait_for_echo(&shell, false);
        shell.type_in("half a P\x1a");
        shell.expect("Stopped");
        shell.expect("$ ");
        shell.type_in(back);
    }
    // In the background it is stopped again.
    wait_for_stop(&mut shell);
    shell.type_in("fg\n");
    shell.expect(QUESTION);
    wait_for_echo(&shell, false);
    shell.type_in(&format!("{PIN}\n"));
    made(shell, "mine", &program);
}

#[test]
fn a_command_that_is_started_in_the_background_asks_when_it_is_in_the_foreground() {
    let program = Program::with_token();
    let mut shell = shell(&program);
    shell.type_in("$tpmssh keygen -C mine &\n");
    // The question is not shown yet, because the shell has the terminal.
    wait_for_stop(&mut shell);
    shell.type_in("fg\n");
    shell.expect(QUESTION);
    wait_for_echo(&shell, false);
    shell.type_in(&format!("{PIN}\n"));
    made(shell, "mine", &program);
}

#[test]
fn a_command_that_was_stopped_by_other_means_hides_the_pin_again() {
    let program = Program::with_token();
    let pid = text(program.home.path().join("pid"));
    let mut shell = shell(&program);
    let command = format!("sh -c 'echo $$ >{pid}; exec $tpmssh keygen -C mine'\n");
    shell.type_in(&command);
    shell.expect(QUESTION);
    wait_for_echo(&shell, false);
    let number = std::fs::read_to_string(&pid).unwrap();
    crate::program::run("kill", &["-STOP", number.trim()]);
    shell.expect("Stopped");
    shell.type_in("stty echo\nfg\n");
    shell.expect(QUESTION);
    wait_for_echo(&shell, false);
    shell.type_in(&format!("{PIN}\n"));
    made(shell, "mine", &program);
}

#[test]
fn a_command_that_is_ended_while_it_is_stopped_ends() {
    let program = Program::with_token();
    let mut shell = shell(&program);
    shell.type_in("$tpmssh keygen -C mine\n");
    shell.expect(QUESTION);
    wait_for_echo(&shell, false);
    shell.type_in("\x1a");
    shell.expect("Stopped");
    shell.type_in("p=$(jobs -p %1); kill %1; while kill -0 $p 2>/dev/null; do sleep .05; done\n");
    shell.type_in("echo it ' ended'\n");
    shell.expect("it  ended");
    shell.type_in("exit\n");
    shell.end();
}

/// The program was not started by a shell, so nothing could continue it.
#[test]
fn ctrl_z_does_nothing_where_nobody_could_continue_the_program() {
    let program = Program::with_token();
    let mut session = Session::start(&program, &["keygen", "-C", "mine"]);
    session.expect(QUESTION);
    session.type_in("\x1a");
    session.expect(QUESTION);
    session.type_in(&format!("{PIN}\n"));
    let (status, rest) = session.end();
    assert!(status.success() && !rest.contains(PIN), "{rest}");
}

#[test]
fn a_yes_is_asked_for_again_as_well() {
    let program = Program::with_key();
    let mut shell = shell(&program);
    shell.type_in("$tpmssh delete first\n");
    shell.expect(" for ever? [y/N] ");
    shell.type_in("\x1a");
    shell.expect("Stopped");
    shell.type_in("fg\n");
    shell.expect(" for ever? [y/N] ");
    shell.type_in("y\n");
    shell.expect("is deleted");
    shell.type_in("exit\n");
    shell.end();
}

/// A program that asks on the terminal of `GPG_TTY`, as pinentry does.
const PINENTRY: &str = r#"#!/bin/sh
echo OK
while read -r line; do
    case $line in
    GETPIN)
        stty -echo <"$GPG_TTY"
        printf 'THE PIN? ' >"$GPG_TTY"
        read -r pin <"$GPG_TTY"
        stty echo <"$GPG_TTY"
        echo "D $pin"
        ;;
    esac
    echo OK
done
"#;

#[test]
fn an_agent_in_the_background_asks_on_the_terminal_and_is_not_stopped() {
    let program = Program::with_key();
    let at = |name: &str| text(program.home.path().join(name));
    std::fs::create_dir(at("bin")).unwrap();
    program.home.script("bin/pinentry", PINENTRY);
    let public = program.run(&["export", "first"]).ok();
    program.secret("key.pub", &public);
    program.secret("data", "to be signed");
    let mut shell = shell(&program);
    shell.type_in("export PATH=\"$HOME/bin:$PATH\" GPG_TTY=$(tty) SSH_AUTH_SOCK=$HOME/run/a\n");
    shell.type_in("$tpmssh agent --socket $SSH_AUTH_SOCK &\n");
    shell.type_in("until ssh-add -l; do sleep .05; done >/dev/null 2>&1; echo it ' listens'\n");
    shell.expect("it  listens");
    shell.type_in("ssh-keygen -Y sign -n file -f key.pub data\n");
    shell.expect("THE PIN? ");
    wait_for_echo(&shell, false);
    shell.type_in(&format!("{PIN}\n"));
    shell.expect("Write signature to data.sig");
    shell.type_in("jobs; kill %1; exit\n");
    let (_, rest) = shell.end();
    assert!(rest.contains("Running") && !rest.contains(PIN), "{rest}");
}
