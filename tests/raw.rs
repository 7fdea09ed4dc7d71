//! Another program at the TPM: plain commands, with empty passwords.
//!
//! It brings the chip into states that tpmssh never makes.

use std::io::{Read, Write};
use std::net::TcpStream;

use testing::Swtpm;

const OWNER: u32 = 0x4000_0001;
const LOCKOUT: u32 = 0x4000_000a;
const PLATFORM: u32 = 0x4000_000c;

/// Where the storage root key belongs.
const SRK: u32 = 0x8100_0001;

/// Attributes of the TCG's storage root key.
const STORAGE: u32 = 0x0003_0472;
/// The same without NO_DA.
const STORAGE_DA: u32 = 0x0003_0072;
/// The same for a signing key: SIGN in place of RESTRICTED and DECRYPT.
const SIGNING: u32 = 0x0004_0472;

/// Puts a storage root key with a password at its handle, from the TCG's template.
pub(crate) fn srk_with_password(swtpm: &Swtpm, password: &str) {
    let key = create_primary(swtpm, STORAGE, password);
    evict(swtpm, key, SRK);
}

/// Puts a signing key where the storage root key belongs.
pub(crate) fn signing_key_as_srk(swtpm: &Swtpm) {
    let key = create_primary(swtpm, SIGNING, "");
    evict(swtpm, key, SRK);
}

/// Puts a storage root key without NO_DA there: wrong passwords for it would count towards lockout.
pub(crate) fn twin_of_srk(swtpm: &Swtpm) {
    let key = create_primary(swtpm, STORAGE_DA, "");
    evict(swtpm, key, SRK);
}

/// Keeps keys in the chip until it has no room for another.
pub(crate) fn fill_persistent(swtpm: &Swtpm) {
    let key = create_primary(swtpm, SIGNING, "");
    for next in 0x8100_1000.. {
        let parts = [&handle(OWNER), &handle(key)[..], PASSWORD, &handle(next)];
        match call(swtpm, 0x120, &parts.concat()).1 {
            0 => {}
            0x14b => break,
            code => panic!("EvictControl: {code:#x}"),
        }
    }
    flush(swtpm, key);
}

/// Removes the storage root key from its handle.
pub(crate) fn remove_srk(swtpm: &Swtpm) {
    evict(swtpm, SRK, SRK);
}

/// The same if the owner has a password.
pub(crate) fn evict_srk(swtpm: &Swtpm, owner: &str) {
    // A password session: no nonce, no attributes, the password.
    let auth = [
        &handle(0x4000_0009)[..],
        &[0, 0, 0],
        &sized(owner.as_bytes()),
    ]
    .concat();
    let area = [&u32::try_from(auth.len()).unwrap().to_be_bytes()[..], &auth].concat();
    done(
        swtpm,
        0x120,
        &[&handle(OWNER), &handle(SRK), &area, &handle(SRK)],
    );
}

/// Removes an NV index of the owner.
pub(crate) fn remove_nv(swtpm: &Swtpm, index: u32) {
    done(swtpm, 0x122, &[&handle(OWNER), &handle(index), PASSWORD]);
}

/// Switches a hierarchy off until the next start, as firmware may.
pub(crate) fn disable(swtpm: &Swtpm, hierarchy: u32) {
    let rest = [&handle(hierarchy)[..], &[0]].concat();
    done(swtpm, 0x121, &[&handle(PLATFORM), PASSWORD, &rest]);
}

/// Disables `TPM2_Clear`.
pub(crate) fn disable_clear(swtpm: &Swtpm) {
    done(swtpm, 0x127, &[&handle(LOCKOUT), PASSWORD, &[1]]);
}

/// Defines NV indexes until the chip has no room for another.
pub(crate) fn fill_nv(swtpm: &Swtpm) {
    let mut next = 0x0180_0000;
    for size in [2048_u16, 64, 8] {
        loop {
            // TPM2B_AUTH; TPM2B_NV_PUBLIC: index, SHA-256, OWNERREAD and OWNERWRITE, no
            // policy, size.
            let public = [
                &handle(next)[..],
                &[0x00, 0x0b],
                &handle(0x0002_0002),
                &[0, 0],
                &size.to_be_bytes(),
            ];
            let parts = [
                &handle(OWNER)[..],
                PASSWORD,
                &[0, 0],
                &sized(&public.concat()),
            ];
            match call(swtpm, 0x12a, &parts.concat()).1 {
                0 => next += 1,
                0x14b => break,
                code => panic!("NV_DefineSpace: {code:#x}"),
            }
        }
    }
}

/// Starts sessions and has the chip save them, until it takes no more; their handles.
pub(crate) fn exhaust_sessions(swtpm: &Swtpm) -> Vec<u32> {
    let mut sessions = Vec::new();
    loop {
        // No key, no binding; a nonce of 16 bytes, no salt, HMAC, no encryption, SHA-256.
        let null = handle(0x4000_0007);
        let rest = b"\0\0\0\0\x10\0\x0b";
        let parts = [&null[..], &null, &sized(&[1; 16]), rest];
        let (response, code) = exchange(swtpm, 0x8001, 0x176, &parts.concat());
        match code {
            0 => sessions.push(u32::from_be_bytes(response[10..14].try_into().unwrap())),
            0x905 => return sessions,
            code => panic!("StartAuthSession: {code:#x}"),
        }
        let (_, code) = exchange(swtpm, 0x8001, 0x162, &handle(*sessions.last().unwrap()));
        assert_eq!(code, 0, "ContextSave: {code:#x}");
    }
}

/// An authorization area with one empty password.
const PASSWORD: &[u8] = b"\0\0\0\x09\x40\0\0\x09\0\0\0\0\0";

fn create_primary(swtpm: &Swtpm, attributes: u32, password: &str) -> u32 {
    let sensitive = [&sized(password.as_bytes())[..], &[0, 0]].concat();
    // AES-128-CFB for a storage key, nothing for a signing key; then no scheme, P-256, no KDF,
    // and an empty point.
    let symmetric: &[u8] = if attributes != SIGNING {
        b"\0\x06\0\x80\0\x43"
    } else {
        b"\0\x10"
    };
    let public = [
        b"\0\x23\0\x0b",
        &handle(attributes)[..],
        b"\0\0",
        symmetric,
        b"\0\x10\0\x03\0\x10\0\0\0\0",
    ];
    let parts = [
        &handle(OWNER)[..],
        PASSWORD,
        &sized(&sensitive),
        &sized(&public.concat()),
        // outsideInfo, creationPCR
        &[0; 6],
    ];
    let (response, code) = call(swtpm, 0x131, &parts.concat());
    assert_eq!(code, 0, "CreatePrimary: {code:#x}");
    u32::from_be_bytes(response[10..14].try_into().unwrap())
}

/// Gives a loaded key a persistent handle, or takes it from the key that has it; a loaded one
/// is flushed.
fn evict(swtpm: &Swtpm, key: u32, persistent: u32) {
    let (key_handle, rest) = (handle(key), handle(persistent));
    done(
        swtpm,
        0x120,
        &[&handle(OWNER), &key_handle, PASSWORD, &rest],
    );
    if key >> 24 == 0x80 {
        flush(swtpm, key);
    }
}

/// Ends an object or a session.
pub(crate) fn flush(swtpm: &Swtpm, key: u32) {
    let (_, code) = exchange(swtpm, 0x8001, 0x165, &handle(key));
    assert_eq!(code, 0, "FlushContext: {code:#x}");
}

fn done(swtpm: &Swtpm, command: u32, parts: &[&[u8]]) {
    let (_, code) = call(swtpm, command, &parts.concat());
    assert_eq!(code, 0, "command {command:#x}: {code:#x}");
}

fn call(swtpm: &Swtpm, command: u32, body: &[u8]) -> (Vec<u8>, u32) {
    exchange(swtpm, 0x8002, command, body)
}

fn exchange(swtpm: &Swtpm, tag: u16, command: u32, body: &[u8]) -> (Vec<u8>, u32) {
    let length = u32::try_from(10 + body.len()).unwrap();
    let bytes = [
        &tag.to_be_bytes()[..],
        &length.to_be_bytes(),
        &command.to_be_bytes(),
        body,
    ];
    let mut stream = TcpStream::connect(("127.0.0.1", swtpm.port())).unwrap();
    stream.set_read_timeout(Some(testing::PATIENCE)).unwrap();
    stream.write_all(&bytes.concat()).unwrap();
    let mut response = vec![0; 10];
    stream.read_exact(&mut response).unwrap();
    let length = u32::from_be_bytes(response[2..6].try_into().unwrap());
    response.resize(length as usize, 0);
    stream.read_exact(&mut response[10..]).unwrap();
    let code = u32::from_be_bytes(response[6..10].try_into().unwrap());
    (response, code)
}

fn handle(value: u32) -> [u8; 4] {
    value.to_be_bytes()
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap();
    [&length.to_be_bytes()[..], bytes].concat()
}
