//! Whole commands, as a person types them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use testing::{Service, SshAgent, Sshd};

use super::{Effort, Racer, race};
use crate::{
    chip,
    report::{Figure, Group},
    world::{KEYS, Reach, World, our_module, run, their_module},
};

/// tpmssh, behind the resource manager.
pub(crate) const TPMSSH: &str = "tpmssh";
/// tpmssh, without one.
pub(crate) const TPMSSH_BARE: &str = "tpmssh, bare";
/// tpm2-pkcs11, behind the resource manager: it does not work without one.
pub(crate) const INCUMBENT: &str = "tpm2-pkcs11";
/// An ordinary P-256 key in a file.
pub(crate) const FILE: &str = "key file";

/// Listing the keys.
pub(crate) const LIST: &str = "ssh-keygen -D";
/// Listing all objects.
pub(crate) const OBJECTS: &str = "pkcs11-tool -O";
/// A login that loads the module, the store and the key.
pub(crate) const LOGIN: &str = "ssh -I, cold";
/// A login through OpenSSH's agent with the module in it.
pub(crate) const NEXT_LOGIN: &str = "ssh through ssh-agent";
/// A login through `tpmssh agent`.
pub(crate) const AGENT_LOGIN: &str = "ssh through tpmssh agent";

/// A world with a server that its keys can log in to, and agents that hold them.
pub(super) struct Scene {
    // In the order of dropping.
    ours: Service,
    ours_in_ssh_agent: SshAgent,
    theirs_in_ssh_agent: Option<SshAgent>,
    file_agent: SshAgent,
    sshd: Sshd,
    file: PathBuf,
    their_module: PathBuf,
    pub(super) world: World,
}

impl Scene {
    /// A scene whose tokens have one P-256 key each.
    pub(super) fn set(reach: Reach, tapped: bool) -> Result<Self> {
        let world = World::new(reach, tapped, &KEYS[..1])?;
        let sshd = Sshd::start(&world.home);
        let their_module = their_module()?;
        let file = world.home.path().join(".ssh/id_ecdsa");
        let mut make = world.command("ssh-keygen");
        run(make
            .args(["-q", "-t", "ecdsa", "-b", "256", "-N", "", "-f"])
            .arg(&file))?;

        let mut modules = vec![our_module()];
        if reach == Reach::Managed {
            modules.push(their_module.clone());
        }
        let mut keys = fs::read(file.with_extension("pub"))?;
        for module in &modules {
            let listed = run(world.command("ssh-keygen").arg("-D").arg(module))?;
            keys.extend(listed.stdout);
        }
        fs::write(sshd.authorized_keys(), keys)?;

        // Each of OpenSSH's agents gets a socket of its own in the home.
        let ours_in_ssh_agent = world.their_agent(&our_module(), "ours")?;
        let theirs_in_ssh_agent = match reach {
            Reach::Managed => Some(world.their_agent(&their_module, "theirs")?),
            Reach::Bare => None,
        };
        let file_agent = world.ssh_agent("file", "none");
        run(world
            .command("ssh-add")
            .envs(file_agent.env())
            .arg("-q")
            .arg(&file))?;
        Ok(Self {
            ours: world.our_agent(true)?,
            ours_in_ssh_agent,
            theirs_in_ssh_agent,
            file_agent,
            sshd,
            file,
            their_module,
            world,
        })
    }

    /// The command `what` of `who`; `None` if `who` has no such command.
    pub(super) fn command(&self, what: &str, who: &str) -> Option<Command> {
        let module = match who {
            FILE => None,
            INCUMBENT => Some(self.their_module.clone()),
            _ => Some(our_module()),
        };
        match (what, module) {
            (LIST, Some(module)) => {
                let mut command = self.world.command("ssh-keygen");
                command.arg("-D").arg(module);
                Some(command)
            }
            (LIST, None) => {
                let mut command = self.world.command("ssh-keygen");
                command.arg("-y").arg("-f").arg(&self.file);
                Some(command)
            }
            (OBJECTS, Some(module)) => {
                let mut command = self.world.command("pkcs11-tool");
                command.arg("--module").arg(module).arg("-O");
                Some(command)
            }
            (LOGIN, Some(module)) => {
                let mut command = self.ssh("-I", &module);
                command.envs(self.world.askpass());
                Some(command)
            }
            (LOGIN, None) => Some(self.ssh("-i", &self.file)),
            (NEXT_LOGIN, _) => {
                let agent = match who {
                    FILE => &self.file_agent,
                    INCUMBENT => self.theirs_in_ssh_agent.as_ref()?,
                    _ => &self.ours_in_ssh_agent,
                };
                Some(self.ssh_with(agent.env()))
            }
            (AGENT_LOGIN, Some(_)) if who != INCUMBENT => Some(self.ssh_with(self.ours.env())),
            _ => None,
        }
    }

    fn ssh(&self, option: &str, argument: &Path) -> Command {
        let argument = argument.display().to_string();
        let mut ssh = self
            .sshd
            .ssh(&self.world.home, &[option, &argument], "true");
        ssh.envs(self.world.env());
        ssh
    }

    fn ssh_with(&self, agent: Vec<(std::ffi::OsString, std::ffi::OsString)>) -> Command {
        let mut ssh = self.sshd.ssh(&self.world.home, &[], "true");
        ssh.envs(self.world.env()).envs(agent);
        ssh
    }
}

/// Runs the commands of everyone side by side, on the simulator or (for [`Group::Chip`]) on one
/// that is as slow as a chip.
pub(super) fn measure(group: Group, effort: Effort) -> Result<Vec<Figure>> {
    let slow = group == Group::Chip;
    let managed = Scene::set(Reach::Managed, slow)?;
    let bare = Scene::set(Reach::Bare, slow)?;
    let rounds = if slow {
        effort.chip_rounds
    } else {
        effort.command_rounds
    };
    if slow {
        for scene in [&managed, &bare] {
            scene.world.tap()?.set_pace(Some(chip::latency));
        }
    }
    let everyone = [
        (TPMSSH, &managed),
        (TPMSSH_BARE, &bare),
        (INCUMBENT, &managed),
        (FILE, &managed),
    ];
    let mut figures = Vec::new();
    for what in [LIST, OBJECTS, LOGIN, NEXT_LOGIN, AGENT_LOGIN] {
        let racers: Vec<_> = everyone
            .into_iter()
            .filter(|(who, scene)| scene.command(what, who).is_some())
            .map(|(who, scene)| Racer::new(who, move || time(what, who, scene)))
            .collect();
        // `tpmssh agent` has no counterpart.
        let base = if what == AGENT_LOGIN {
            TPMSSH
        } else {
            INCUMBENT
        };
        figures.extend(race(group, what, racers, rounds, base)?);
    }
    Ok(figures)
}

/// One run, in milliseconds. It must succeed, and a list must not be empty.
fn time(what: &str, who: &str, scene: &Scene) -> Result<f64> {
    let mut command = scene.command(what, who).context("no such command")?;
    let start = Instant::now();
    let output = run(&mut command)?;
    let time = start.elapsed().as_secs_f64() * 1e3;
    ensure!(
        !output.stdout.is_empty() || !matches!(what, LIST | OBJECTS),
        "{who}: {what} lists nothing"
    );
    Ok(time)
}
