//! The man in the middle, in one run of an operation.

use std::io;

use testing::interposer::{Action, Message, Step, cc};

use crate::{
    chip::{self, EVIL, RH_ENDORSEMENT, RH_LOCKOUT, RH_OWNER},
    present::Present,
    variation::{GENERATOR, POINT_X, Trace, Variation},
};

/// What he knows from his copy of the store.
#[derive(Debug, Clone)]
pub(crate) struct Loot {
    pub(crate) srk: u32,
    pub(crate) counter: u32,
    /// Private and public part of another key, each with its length: parameters of `TPM2_Load`.
    pub(crate) other: Vec<u8>,
}

/// The man in the middle, in one run.
pub(crate) struct Man {
    variation: Variation,
    trace: Trace,
    loot: Loot,
    present: Present,
    notes: Notes,
}

/// What happened in the run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes {
    /// Whether the variation was carried out.
    pub(crate) done: bool,
    /// Commands of his own that the chip obeyed.
    pub(crate) obeyed: Vec<String>,
    /// Whether the operation differed from the undisturbed one before the variation.
    pub(crate) strayed: bool,
}

impl Man {
    pub(crate) fn new(variation: Variation, trace: Trace, loot: Loot) -> Self {
        Self {
            variation,
            trace,
            loot,
            present: Present::default(),
            notes: Notes::default(),
        }
    }

    pub(crate) fn notes(&self) -> Notes {
        self.notes.clone()
    }

    /// Decides about one command.
    pub(crate) fn decide(&mut self, step: &mut Step<'_>) -> io::Result<Action> {
        let original = step.command.clone();
        let reply = self.vary(step)?;
        self.present.note(&original, &reply);
        Ok(Action::Reply(reply))
    }

    fn vary(&mut self, step: &mut Step<'_>) -> io::Result<Message> {
        let index = step.index();
        let code = step.command.code();
        let variation = self.variation.clone();
        let at = variation.at();
        if index < at || !matches!(variation, Variation::OwnSession(_)) && index > at {
            return step.pass();
        }
        if index == at && self.trace[at].0.code() != code {
            self.notes.strayed = true;
            return step.pass();
        }
        match variation {
            Variation::Command(_, change) => {
                self.notes.done = change.apply(&mut step.command);
                step.pass()
            }
            Variation::Reply(_, change) => {
                let mut reply = step.pass()?;
                self.notes.done = change.apply(&mut reply);
                Ok(reply)
            }
            Variation::Point(_) => {
                let mut reply = step.pass()?;
                self.notes.done = true;
                let [x, y] = GENERATOR;
                reply.set(POINT_X, &x);
                reply.set("outPublic.unique.y", &y);
                Ok(reply)
            }
            Variation::StripCommand(_, count) => {
                (0..count).for_each(|_| step.command.drop_session());
                self.notes.done = true;
                step.pass()
            }
            Variation::StripReply(_, count) => {
                let mut reply = step.pass()?;
                (0..count).for_each(|_| reply.drop_session());
                self.notes.done = true;
                Ok(reply)
            }
            Variation::Refuse(_, rc) => {
                self.notes.done = true;
                Ok(Message::refusal(code, rc))
            }
            Variation::Deny(_, rc) => {
                self.notes.done = true;
                step.pass()?;
                Ok(Message::refusal(code, rc))
            }
            Variation::Pretend(_) => {
                self.notes.done = true;
                Ok(Message::refusal(code, 0))
            }
            Variation::Replay(_) => {
                self.notes.done = true;
                Ok(self.trace[at].1.clone())
            }
            Variation::Swap(_, other) => {
                self.notes.done = true;
                step.pass()?;
                Ok(self.trace[other].1.clone())
            }
            Variation::Repeat(_, second) => {
                self.notes.done = true;
                let replies = [step.pass()?, step.pass()?];
                Ok(replies[usize::from(second)].clone())
            }
            Variation::Inject(_) => {
                self.notes.done = true;
                self.inject(step)?;
                step.pass()
            }
            Variation::PolicyStep(_, policy_step) => {
                self.notes.done = true;
                for session in &self.present.policies {
                    let command = Message::command(policy_step).with_handle(*session);
                    let command = match policy_step {
                        cc::POLICY_COMMAND_CODE => {
                            command.with_parameters(&cc::NV_CHANGE_AUTH.to_be_bytes())
                        }
                        _ => command,
                    };
                    step.send(&command)?;
                }
                step.pass()
            }
            Variation::Flush(_, sessions) => {
                self.notes.done = true;
                let handles = if sessions {
                    &self.present.sessions
                } else {
                    &self.present.objects
                };
                for handle in handles {
                    let command = Message::command(cc::FLUSH_CONTEXT);
                    step.send(&command.with_parameters(&handle.to_be_bytes()))?;
                }
                step.pass()
            }
            Variation::OwnSession(_) if index == at => {
                self.notes.done = true;
                step.send(&chip::start_policy())
            }
            Variation::OwnSession(_) => {
                self.inject(step)?;
                step.pass()
            }
        }
    }

    /// Sends his own commands ([`Man::wishes`]) in every policy session that is open.
    fn inject(&mut self, step: &Step<'_>) -> io::Result<()> {
        let policies = self.present.policies.clone();
        for session in policies {
            for command in self.wishes() {
                let command = command.clone().with_session(session, &[], 1, &[]);
                if step.send(&command)?.succeeded() {
                    self.notes.obeyed.push(format!(
                        "{} before command {}",
                        command.name(),
                        step.index()
                    ));
                }
            }
        }
        Ok(())
    }

    /// Commands that would make him the owner of something, if a session authorized them.
    fn wishes(&self) -> Vec<Message> {
        let mut evil = vec![0, 32];
        evil.extend(EVIL);
        let counter = self.loot.counter;
        let mut wishes = vec![
            Message::command(cc::NV_CHANGE_AUTH)
                .with_handle(counter)
                .with_parameters(&evil),
            // Count 0 and the largest limit.
            Message::command(cc::NV_WRITE)
                .with_handle(counter)
                .with_handle(counter)
                .with_parameters(b"\0\x08\0\0\0\0\xff\xff\xff\xff\0\0"),
            Message::command(cc::NV_UNDEFINE_SPACE)
                .with_handle(RH_OWNER)
                .with_handle(counter),
            Message::command(cc::CLEAR).with_handle(RH_LOCKOUT),
        ];
        for hierarchy in [RH_OWNER, RH_ENDORSEMENT, RH_LOCKOUT] {
            wishes.push(
                Message::command(cc::HIERARCHY_CHANGE_AUTH)
                    .with_handle(hierarchy)
                    .with_parameters(&evil),
            );
        }
        for &object in &self.present.objects {
            wishes.extend([
                Message::command(cc::OBJECT_CHANGE_AUTH)
                    .with_handle(object)
                    .with_handle(self.loot.srk)
                    .with_parameters(&evil),
                Message::command(cc::LOAD)
                    .with_handle(object)
                    .with_parameters(&self.loot.other),
                Message::command(cc::UNSEAL).with_handle(object),
                Message::command(cc::DUPLICATE)
                    .with_handle(object)
                    .with_handle(chip::RH_NULL)
                    .with_parameters(&[0, 0, 0, 0x10]),
            ]);
        }
        wishes
    }
}
