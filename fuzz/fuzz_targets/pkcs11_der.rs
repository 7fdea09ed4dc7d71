//! DER that a caller of the module gives it: certificates, points, curves, digests.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tpmssh_pkcs11::fuzzing::der(bytes));
