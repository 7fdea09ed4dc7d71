//! git over SSH, through a jump host and with one connection for several commands.

use std::{ffi::OsString, fs, process::Command};

use testing::{Home, Sshd};

use crate::agent::served::Served;
use crate::clients::{file, module_path, ok, refused, write};
use crate::program::{Program, text};

/// A server with a repository, and a jump host before it. Both let in the key of the token.
struct Servers<'a> {
    program: &'a Program,
    jump_home: Home,
    jump: Sshd,
    server: Sshd,
}

impl<'a> Servers<'a> {
    fn start(program: &'a Program) -> Self {
        let jump_home = Home::new();
        let jump = Sshd::start(&jump_home);
        let server = Sshd::start(&program.home);
        let public = program.run(&["export", "first"]).ok();
        for sshd in [&jump, &server] {
            fs::write(sshd.authorized_keys(), &public).unwrap();
        }
        ok(program
            .home
            .command("git")
            .args(["init", "--quiet", "--bare", "repository.git"]));
        Self {
            program,
            jump_home,
            jump,
            server,
        }
    }

    /// A configuration for ssh with `how`, the way to the key; its path. ssh passes no other option
    /// on to the connection to the jump host.
    fn ssh_config(&self, how: &str) -> String {
        let host = |name: &str, sshd: &Sshd| {
            let options = sshd.options().join("\n").replace('=', " ");
            format!(
                "Host {name}\nHostName 127.0.0.1\nUser {}\n{options}\n",
                sshd.user()
            )
        };
        let config = format!(
            "{}{}ProxyJump jump\nControlMaster auto\nControlPath {}\nControlPersist 60\nHost *\n{how}\n",
            host("jump", &self.jump),
            host("server", &self.server),
            file(&self.program.home, "c")
        );
        write(&self.program.home, "ssh_config", config)
    }

    /// Clones, pushes and fetches; each server is asked for one login, and for none once the connection
    /// is there.
    fn clone_push_fetch(&self, how: &str, env: &[(OsString, OsString)]) {
        let home = &self.program.home;
        let config = self.ssh_config(how);
        let git = |args: &[&str]| -> Command {
            let mut git = home.command("git");
            git.args([
                "-c",
                "user.name=alice",
                "-c",
                "user.email=alice@example.org",
            ])
            .args(args)
            .env("GIT_SSH_COMMAND", format!("ssh -F {config}"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .envs(env.iter().cloned());
            git
        };
        let url = format!("ssh://server{}", file(home, "repository.git"));
        ok(&mut git(&["clone", "--quiet", &url, "work"]));
        ok(&mut git(&[
            "-C",
            "work",
            "commit",
            "-qm",
            "1",
            "--allow-empty",
        ]));
        ok(&mut git(&[
            "-C", "work", "push", "--quiet", "origin", "HEAD",
        ]));
        ok(&mut git(&["-C", "work", "fetch"]));
        for sshd in [&self.jump, &self.server] {
            assert_eq!(logins(sshd), 1, "{}", sshd.log());
        }
        let pushed = ["--git-dir", "repository.git", "log", "--all", "--format=%s"];
        assert_eq!(ok(&mut git(&pushed)), "1\n");
        // Ends the background process of ssh that keeps the connection open.
        ok(home
            .command("ssh")
            .args(["-F", &config, "-O", "exit", "server"]));
        // Neither server lets in a stranger.
        let mut stranger = git(&["ls-remote", &url]);
        stranger.env(
            "GIT_SSH_COMMAND",
            format!("ssh -F {} ", self.ssh_config("")),
        );
        refused(stranger.env_remove("SSH_AUTH_SOCK"));
    }
}

fn logins(sshd: &Sshd) -> usize {
    sshd.log().matches("Accepted publickey").count()
}

#[test]
fn git_goes_through_a_jump_host_with_the_module() {
    let program = Program::with_key();
    let servers = Servers::start(&program);
    let askpass = program.home.askpass(program.pin.as_ref());
    servers.clone_push_fetch(&format!("PKCS11Provider {}", module_path()), &askpass);
    assert!(servers.jump_home.path().exists());
}

#[test]
fn git_goes_through_a_jump_host_with_the_agent() {
    let program = Program::with_key();
    let servers = Servers::start(&program);
    let agent = Served::start(&program);
    program.run(&["unlock", "--pin-file", &program.pin]).ok();
    let socket = text(agent.socket().to_owned());
    servers.clone_push_fetch("", &[("SSH_AUTH_SOCK".into(), socket.into())]);
}
