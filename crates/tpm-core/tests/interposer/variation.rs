//! What the man in the middle does in one run of an operation.

use std::{collections::HashMap, fmt, sync::Arc};

use testing::interposer::{Change, Message, cc};

use crate::present::Present;

/// The commands and responses of an undisturbed run.
pub(crate) type Trace = Arc<Vec<(Message, Message)>>;

/// One thing that he does; the number is that of the command, from 0 on.
#[derive(Debug, Clone)]
pub(crate) enum Variation {
    /// Changes a field of the command.
    Command(usize, Change),
    /// Changes a field of the response.
    Reply(usize, Change),
    /// Puts another point of the curve in the place of a public key in the response.
    Point(usize),
    /// Takes so many authorizations away from the command.
    StripCommand(usize, usize),
    /// Takes so many authorizations away from the response.
    StripReply(usize, usize),
    /// Refuses the command with this response code, before the chip has it.
    Refuse(usize, u32),
    /// Lets the chip run it, and then says that it was refused.
    Deny(usize, u32),
    /// Answers with an empty success, and does not pass the command on.
    Pretend(usize),
    /// Answers what the chip answered in the undisturbed run, and does not pass the command on.
    Replay(usize),
    /// Answers with what the chip answered to another command of the undisturbed run.
    Swap(usize, usize),
    /// Sends the command twice; the client gets the first answer or the second one.
    Repeat(usize, bool),
    /// Sends commands of his own, in every policy session that is open, before this one.
    Inject(usize),
    /// Runs a step of a policy in every policy session that is open.
    PolicyStep(usize, u32),
    /// Frees everything that is loaded, or all sessions.
    Flush(usize, bool),
    /// Gives the client a policy session of his own, and uses it before every later command.
    OwnSession(usize),
}

/// The response codes that the client handles in ways of their own: value, handle, retry, full slots, no
/// room, defined already, wrong values counted and not, the index's limit, integrity, unknown command, gone.
const REFUSALS: [u32; 12] = [
    0x184, 0x18b, 0x922, 0x902, 0x14b, 0x14c, 0x98e, 0x9a2, 0x12f, 0x1df, 0x143, 0x910,
];

pub(crate) const POINT_X: &str = "outPublic.unique.x";
/// The generator of P-256: the public point whose private half is 1.
pub(crate) const GENERATOR: [[u8; 32]; 2] = [
    *b"\x6b\x17\xd1\xf2\xe1\x2c\x42\x47\xf8\xbc\xe6\xe5\x63\xa4\x40\xf2\
       \x77\x03\x7d\x81\x2d\xeb\x33\xa0\xf4\xa1\x39\x45\xd8\x98\xc2\x96",
    *b"\x4f\xe3\x42\xe2\xfe\x1a\x7f\x9b\x8e\xe7\xeb\x4a\x7c\x0f\x9e\x16\
       \x2b\xce\x33\x57\x6b\x31\x5e\xce\xcb\xb6\x40\x68\x37\xbf\x51\xf5",
];

/// The steps that could loosen a policy session.
const STEPS: [u32; 4] = [
    cc::POLICY_RESTART,
    cc::POLICY_COMMAND_CODE,
    cc::POLICY_AUTH_VALUE,
    cc::POLICY_PASSWORD,
];

/// The changes of a message: one for each field, a different one each time, so that a field that
/// comes often gets each kind of change somewhere. With `TPMSSH_INTERPOSER=all` in the environment,
/// every change of every field, which takes some minutes.
fn changes(index: usize, message: &Message) -> Vec<Change> {
    let all = Change::all(message);
    if is_exhaustive() {
        return all;
    }
    let fields = all.chunk_by(|one, other| one.path() == other.path());
    fields
        .enumerate()
        .map(|(field, changes)| changes[(index + field) % changes.len()].clone())
        .collect()
}

/// The response codes by which a command is refused: a third of them by turns, or all.
fn refusals(index: usize) -> &'static [u32] {
    const SOME: usize = REFUSALS.len() / 3;
    if is_exhaustive() {
        &REFUSALS
    } else {
        let start = index % 3 * SOME;
        &REFUSALS[start..start + SOME]
    }
}

fn is_exhaustive() -> bool {
    std::env::var_os("TPMSSH_INTERPOSER").is_some_and(|text| text == "all")
}

impl Variation {
    /// All variations of an operation that runs like `trace`. Those that need an open policy session
    /// or a loaded object are left out if there is none.
    ///
    /// `met` counts how often each command came before, in this operation and others. From the
    /// fourth time on only every second variation is made, and the other half the next time.
    pub(crate) fn all(trace: &Trace, met: &mut HashMap<u32, usize>) -> Vec<Self> {
        const IN_FULL: usize = 3;
        let mut made = Vec::new();
        let mut present = Present::default();
        for (index, (command, reply)) in trace.iter().enumerate() {
            let mut all = Vec::new();
            let changes = self::changes(index, command).into_iter();
            all.extend(changes.map(|change| Self::Command(index, change)));
            let changes = self::changes(index, reply).into_iter();
            all.extend(changes.map(|change| Self::Reply(index, change)));
            if reply.field(POINT_X).is_some() {
                all.push(Self::Point(index));
            }
            let count = command.sessions().len();
            all.extend((1..=count).map(|strip| Self::StripCommand(index, strip)));
            let count = reply.sessions().len();
            all.extend((1..=count).map(|strip| Self::StripReply(index, strip)));
            let refusals = refusals(index).iter().filter(|code| **code != reply.code());
            all.extend(refusals.map(|code| Self::Refuse(index, *code)));
            all.push(Self::Pretend(index));
            all.push(Self::Replay(index));
            all.extend([0x922, 0x184].map(|code| Self::Deny(index, code)));
            all.extend([false, true].map(|second| Self::Repeat(index, second)));
            let alike = trace
                .iter()
                .enumerate()
                .filter(|(other, (found, _))| *other != index && found.code() == command.code());
            all.extend(alike.map(|(other, _)| Self::Swap(index, other)));
            if !present.policies.is_empty() {
                all.push(Self::Inject(index));
                all.extend(STEPS.map(|step| Self::PolicyStep(index, step)));
            }
            if !present.objects.is_empty() {
                all.push(Self::Flush(index, false));
            }
            if !present.sessions.is_empty() {
                all.push(Self::Flush(index, true));
            }
            if command.code() == cc::START_AUTH_SESSION {
                all.push(Self::OwnSession(index));
            }
            present.note(command, reply);
            let times = met.entry(command.code()).or_default();
            let half = *times >= IN_FULL && !is_exhaustive();
            let all = all.into_iter().enumerate();
            made.extend(all.filter_map(|(number, variation)| {
                (!half || (number + *times).is_multiple_of(2)).then_some(variation)
            }));
            *times += 1;
        }
        made
    }
}

impl fmt::Display for Variation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(at, change) => write!(f, "command {at}: {change}"),
            Self::Reply(at, change) => write!(f, "reply {at}: {change}"),
            other => write!(f, "{other:?}"),
        }
    }
}

impl Variation {
    /// Whether only a response is changed: the chip gets the client's commands as they are.
    pub(crate) fn is_about_a_reply(&self) -> bool {
        matches!(
            self,
            Self::Reply(..)
                | Self::Point(_)
                | Self::StripReply(..)
                | Self::Refuse(..)
                | Self::Deny(..)
                | Self::Pretend(_)
                | Self::Replay(_)
                | Self::Swap(..)
        )
    }

    /// The number of the command that it is about.
    pub(crate) fn at(&self) -> usize {
        match self {
            Self::Command(at, _)
            | Self::Reply(at, _)
            | Self::Point(at)
            | Self::StripCommand(at, _)
            | Self::StripReply(at, _)
            | Self::Refuse(at, _)
            | Self::Deny(at, _)
            | Self::Pretend(at)
            | Self::Replay(at)
            | Self::Swap(at, _)
            | Self::Repeat(at, _)
            | Self::Inject(at)
            | Self::PolicyStep(at, _)
            | Self::Flush(at, _)
            | Self::OwnSession(at) => *at,
        }
    }
}
