//! `policy.toml`, as an administrator writes it.

#![no_main]

use std::path::Path;

use ca_server::policy::{Files, Policy};
use key_proof::Anchors;
use libfuzzer_sys::fuzz_target;

/// Whatever file a policy names, it has the same.
struct Same;

impl Files for Same {
    fn roots(&mut self, _: &Path, _: &mut Anchors) -> Result<(), String> {
        Ok(())
    }

    fn read(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        let text = path.to_str().ok_or("no text")?;
        Ok(text.as_bytes().to_vec())
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let Ok(policy) = Policy::parse(text, &mut Same) else {
        return;
    };
    for role in policy.roles() {
        assert!(role.ttl > 0);
        assert!(policy.role(&role.name).is_some());
        for name in ["web1.example.com", "anna", "", "*", "a b", "ä", "root"] {
            let Some(principals) = role.principals(name) else {
                continue;
            };
            // A certificate without names is good for every name.
            assert!(!principals.is_empty());
            assert!(
                principals
                    .iter()
                    .all(|it| ca_server::policy::is_principal(it))
            );
        }
    }
});
