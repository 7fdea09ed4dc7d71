//! The state of the chip, read with plain commands past the man in the middle.

use std::{
    fmt::Write as _,
    io::{Read, Write},
    net::TcpStream,
};

use testing::{
    Swtpm,
    interposer::{Message, cc},
};

use crate::world::{ENDORSEMENT, LOCKOUT, NEW_PIN, OWNER, PIN, World};

/// A password that an operation of these tests gives to a hierarchy.
pub(crate) const NEW_PASSWORD: &[u8] = b"another password";
/// The password that the man in the middle tries to set.
pub(crate) const EVIL: &[u8] = b"the PIN of the man in the middle";

pub(crate) const RH_OWNER: u32 = 0x4000_0001;
pub(crate) const RH_NULL: u32 = 0x4000_0007;
pub(crate) const RH_LOCKOUT: u32 = 0x4000_000a;
pub(crate) const RH_ENDORSEMENT: u32 = 0x4000_000b;

/// `TPM_RC_LOCKOUT`.
const LOCKED_OUT: u32 = 0x921;
/// `TPM_RC_AUTH_FAIL`, and the bits of a format-one code besides the number of a session.
const AUTH_FAIL: u32 = 0x08e;
const FORMAT_ONE: u32 = 0x0bf;

/// A connection to the chip with nobody in between.
pub(crate) struct Chip(TcpStream);

impl Chip {
    pub(crate) fn connect(port: u16) -> Self {
        Self(TcpStream::connect(("127.0.0.1", port)).expect("swtpm listens"))
    }

    pub(crate) fn send(&mut self, command: &Message) -> Message {
        self.0.write_all(&command.bytes()).expect("connected");
        let mut reply = vec![0; 10];
        self.0.read_exact(&mut reply).expect("it answers");
        let length = u32::from_be_bytes([reply[2], reply[3], reply[4], reply[5]]);
        reply.resize(length as usize, 0);
        self.0.read_exact(&mut reply[10..]).expect("it answers");
        Message::parse_reply(command, &reply)
    }

    /// The handles in use of one handle type, from `first` on.
    fn handles(&mut self, first: u32) -> Vec<u32> {
        let parameters = [1_u32, first, 254].map(u32::to_be_bytes).concat();
        let command = Message::command(cc::GET_CAPABILITY).with_parameters(&parameters);
        let reply = self.send(&command);
        let list = reply.field("capabilityData.data").expect("a list");
        let handles = list.parts().iter();
        handles
            .map(|handle| u32::try_from(handle.number()).expect("4 bytes"))
            .collect()
    }

    /// Frees the slots of all sessions or objects from the handle `first` on.
    fn flush_all(&mut self, first: u32) {
        for handle in self.handles(first) {
            let parameters = handle.to_be_bytes();
            self.send(&Message::command(cc::FLUSH_CONTEXT).with_parameters(&parameters));
        }
    }

    /// A new policy session. If the man in the middle has left all slots taken, they are freed first.
    fn policy_session(&mut self) -> u32 {
        let mut started = self.send(&start_policy());
        if !started.succeeded() {
            self.flush_all(0x0200_0000);
            started = self.send(&start_policy());
        }
        started.number("sessionHandle")
    }

    /// The limit of the PIN counter at `handle`, read with the PIN that opens it, as text.
    fn limit(&mut self, handle: u32) -> String {
        for pin in [PIN, NEW_PIN, EVIL] {
            // 8 bytes from the start: count and limit.
            let command = Message::command(cc::NV_READ)
                .with_handle(handle)
                .with_handle(handle)
                .with_password(pin)
                .with_parameters(&[0, 8, 0, 0]);
            let reply = self.send(&command);
            if reply.succeeded() {
                return format!("limit: {:02x?}", &reply.get("data")[4..]);
            }
            if reply.code() & FORMAT_ONE != AUTH_FAIL {
                return format!("no limit: {:#x}", reply.code());
            }
        }
        "no known PIN reads the limit".to_owned()
    }

    /// Whether `password` is the authorization value of a hierarchy or index. Also true for a lockout
    /// hierarchy that a wrong value has closed, because it cannot be tried. `session` is a policy session.
    fn opens(&mut self, session: u32, handle: u32, password: &[u8]) -> bool {
        let command = Message::command(cc::POLICY_SECRET)
            .with_handle(handle)
            .with_handle(session)
            .with_password(password)
            .with_parameters(&[0; 10]);
        let reply = self.send(&command);
        reply.succeeded() || handle == RH_LOCKOUT && reply.code() == LOCKED_OUT
    }
}

/// Takes the storage root key away from its persistent handle.
pub(crate) fn evict_srk(swtpm: &Swtpm, owner: &[u8]) {
    let command = Message::command(cc::EVICT_CONTROL)
        .with_handle(RH_OWNER)
        .with_handle(tpm_core::Srk::HANDLE)
        .with_password(owner)
        .with_parameters(&tpm_core::Srk::HANDLE.to_be_bytes());
    let evicted = Chip::connect(swtpm.port()).send(&command);
    assert!(evicted.succeeded(), "{evicted:?}");
}

/// Starts a policy session without a salt.
pub(crate) fn start_policy() -> Message {
    let mut parameters = vec![0, 16];
    parameters.extend([0x3c; 16]);
    // No salt; policy; no symmetric algorithm; SHA-256.
    parameters.extend([0, 0, 1, 0, 0x10, 0, 0x0b]);
    Message::command(cc::START_AUTH_SESSION)
        .with_handle(RH_NULL)
        .with_handle(RH_NULL)
        .with_parameters(&parameters)
}

/// All that stays in the chip of `world` and that an operation could have changed, as text: persistent
/// objects by their Names, NV indexes by their public areas, the token's limit, the lockout's parameters.
/// Failed tries are left out.
pub(crate) fn state(world: &World) -> String {
    let mut chip = Chip::connect(world.swtpm.port());
    let mut state = chip.limit(world.counter.handle()) + "\n";
    // To read a persistent object the chip needs a slot, and the man in the middle may have left all of them taken.
    chip.flush_all(0x8000_0000);
    let persistent = chip.handles(0x8100_0000);
    if !persistent.contains(&tpm_core::Srk::HANDLE) {
        state += "no storage root key\n";
    }
    for handle in persistent {
        let read = chip.send(&Message::command(cc::READ_PUBLIC).with_handle(handle));
        let _ = writeln!(state, "{handle:x}: {:02x?}", read.get("name"));
    }
    for handle in chip.handles(0x0100_0000) {
        let read = chip.send(&Message::command(cc::NV_READ_PUBLIC).with_handle(handle));
        let _ = writeln!(state, "{handle:x}: {:02x?}", read.get("nvPublic"));
    }
    let parameters = [6_u32, 0x200, 64].map(u32::to_be_bytes).concat();
    let read = chip.send(&Message::command(cc::GET_CAPABILITY).with_parameters(&parameters));
    let list = read.field("capabilityData.data").expect("a list");
    for property in list.parts() {
        let [id, value] = property.parts() else {
            continue;
        };
        match id.number() {
            // PERMANENT, without "in lockout".
            0x200 => {
                let _ = writeln!(state, "permanent: {:x}", value.number() & !(1 << 9));
            }
            // The lockout's parameters.
            0x20f..=0x211 => {
                let _ = writeln!(state, "{:x}: {}", id.number(), value.number());
            }
            _ => {}
        }
    }
    state
}

/// Which passwords open the token's counter and the hierarchies, as text: their numbers.
pub(crate) fn openers(world: &World) -> String {
    let mut chip = Chip::connect(world.swtpm.port());
    let mut state = String::new();
    let counter = world.counter.handle();
    let passwords: [(u32, &[&[u8]]); 4] = [
        (counter, &[PIN, NEW_PIN, EVIL]),
        (RH_OWNER, &[&[], OWNER, NEW_PASSWORD, EVIL]),
        (RH_ENDORSEMENT, &[&[], ENDORSEMENT, NEW_PASSWORD, EVIL]),
        // Only the right one: a wrong one closes the lockout hierarchy.
        (
            RH_LOCKOUT,
            &[if world.owner.is_empty() { &[] } else { LOCKOUT }],
        ),
    ];
    let session = chip.policy_session();
    for (handle, passwords) in passwords {
        let which = passwords
            .iter()
            .position(|password| chip.opens(session, handle, password));
        let _ = writeln!(state, "{handle:x} opens for {which:?}");
    }
    let parameters = session.to_be_bytes();
    chip.send(&Message::command(cc::FLUSH_CONTEXT).with_parameters(&parameters));
    state
}
