//! The abilities of this chip, and what follows from them for tpmssh.

use tpm_core::{Capabilities, Hash};

use super::check::Check;

pub(super) fn check(chip: &Capabilities) -> Vec<Check> {
    let mut checks = vec![key_types(chip)];
    if !chip.rsa_bits.is_empty() {
        checks.push(rsa_signatures(chip));
    }
    checks.push(pin_wall(chip));
    checks
}

fn key_types(chip: &Capabilities) -> Check {
    let name = "key types";
    let types: Vec<_> = chip.key_types().iter().map(ToString::to_string).collect();
    let types = types.join(", ");
    if chip.has_ecc() {
        Check::ok(name, types)
    } else {
        Check::ok(
            name,
            format!("{types}; this TPM has no elliptic curves, so there are no ecdsa keys"),
        )
    }
}

/// OpenSSH prefers RSA signatures with SHA-512, which few chips have.
fn rsa_signatures(chip: &Capabilities) -> Check {
    let name = "RSA signatures";
    let lacking: Vec<_> = [
        (Hash::Sha256, "SHA-256"),
        (Hash::Sha384, "SHA-384"),
        (Hash::Sha512, "SHA-512"),
    ]
    .into_iter()
    .filter(|(hash, _)| !chip.has_hash(*hash))
    .map(|(_, words)| words)
    .collect();
    if lacking.is_empty() {
        return Check::ok(name, "with every hash that SSH uses, by the TPM alone");
    }
    Check::ok(
        name,
        format!(
            "with every hash that SSH uses: the TPM lacks {}, so tpmssh pads these signatures \
             itself and the TPM does the rest",
            lacking.join(" and ")
        ),
    )
}

fn pin_wall(chip: &Capabilities) -> Check {
    let name = "PIN wall";
    if chip.has_pin_indexes() {
        Check::ok(name, "a PIN counter for each token")
    } else {
        Check::ok(
            name,
            "the lockout of the whole TPM, which is too old for a PIN counter: too many wrong \
             PINs lock everything that the lockout protects, until time passes or the TPM's \
             owner resets it",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An Infineon SLB9665: revision 1.16, SHA-256 alone.
    fn old() -> Capabilities {
        let mut chip = Capabilities::default();
        chip.spec_revision = 116;
        chip.algorithms = vec![1, 4, 0x0b, 0x23];
        chip.curves = vec![3];
        chip.rsa_bits = vec![1024, 2048];
        chip.max_digest = 32;
        chip
    }

    fn said(chip: &Capabilities) -> String {
        let lines: Vec<_> = check(chip).iter().map(ToString::to_string).collect();
        let words: Vec<_> = lines
            .iter()
            .flat_map(|line| line.split_whitespace())
            .collect();
        words.join(" ")
    }

    #[test]
    fn an_old_chip_is_explained() {
        let said = said(&old());
        assert!(said.contains("key types ecdsa-p256, rsa2048 "), "{said}");
        assert!(
            said.contains("lacks SHA-384 and SHA-512, so tpmssh pads"),
            "{said}"
        );
        assert!(said.contains("too old for a PIN counter"), "{said}");
    }

    #[test]
    fn a_chip_without_curves_is_explained() {
        let mut chip = old();
        chip.curves.clear();
        assert!(said(&chip).contains("no elliptic curves"));
    }

    #[test]
    fn a_chip_with_everything_needs_no_words() {
        let mut chip = old();
        chip.spec_revision = 159;
        chip.algorithms = vec![1, 0x0b, 0x0c, 0x0d, 0x23];
        chip.max_digest = 64;
        let said = said(&chip);
        assert!(said.contains("by the TPM alone"), "{said}");
        assert!(said.contains("a PIN counter for each token"), "{said}");
    }
}
