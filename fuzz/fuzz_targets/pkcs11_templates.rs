//! Templates of callers of the module.

#![no_main]

use libfuzzer_sys::fuzz_target;

/// The attributes that templates are looked at for; others are rarely met by chance.
const KINDS: [u64; 24] = [
    0x0, 0x1, 0x2, 0x3, 0x10, 0x11, 0x12, 0x80, 0x81, 0x82, 0x100, 0x101, 0x102, 0x103, 0x105,
    0x108, 0x10c, 0x120, 0x121, 0x122, 0x161, 0x162, 0x180, 0x181,
];

fuzz_target!(|halves: (Vec<(u8, Vec<u8>)>, Vec<(u8, Vec<u8>)>)| {
    let named = |half: Vec<(u8, Vec<u8>)>| {
        let name = |(kind, value)| (KINDS[usize::from(kind) % KINDS.len()], value);
        half.into_iter().map(name).collect()
    };
    tpmssh_pkcs11::fuzzing::template(named(halves.0), named(halves.1));
});
