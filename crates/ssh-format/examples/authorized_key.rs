//! Prints the `authorized_keys` line of an ECDSA key given by its coordinates.
//!
//! ```text
//! $ cargo run -p ssh-format --example authorized_key -- nistp256 X Y anna@laptop
//! ecdsa-sha2-nistp256 AAAA… anna@laptop
//! SHA256:…
//! ```
//!
//! X and Y are hexadecimal, as `tpm2_readpublic` prints them. Without arguments
//! the example key of RFC 6979 appendix A.2.5 is used.

use std::env;
use std::error::Error;

use ssh_format::{Curve, PublicKey};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [curve, x, y, comment] = match args.as_slice() {
        [] => [
            "nistp256",
            "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6",
            "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299",
            "the key of RFC 6979 A.2.5",
        ],
        [curve, x, y, comment] => [curve, x, y, comment].map(String::as_str),
        _ => return Err("usage: authorized_key [CURVE X Y COMMENT]".into()),
    };
    let curve = match curve {
        "nistp256" => Curve::NistP256,
        "nistp384" => Curve::NistP384,
        "nistp521" => Curve::NistP521,
        other => return Err(format!("unknown curve {other}").into()),
    };

    let unhex =
        |text| base16ct::mixed::decode_vec(text).map_err(|_| format!("not hexadecimal: {text}"));
    let key = PublicKey::ecdsa(curve, &unhex(x)?, &unhex(y)?)?;
    println!("{}", key.authorized_keys_line(comment));
    println!("{}", key.fingerprint());
    Ok(())
}
