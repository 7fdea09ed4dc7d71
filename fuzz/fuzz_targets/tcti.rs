//! Connection strings, from the environment or a configuration file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tpm_core::Tcti;

fuzz_target!(|text: &str| {
    if let Ok(tcti) = text.parse::<Tcti>() {
        assert_eq!(tcti.to_string().parse::<Tcti>().ok(), Some(tcti));
    }
});
