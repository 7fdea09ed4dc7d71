//! What a signature costs behind a resource manager.

use testing::{Abrmd, AgentClient, Home, Swtpm, Tap, message};

use super::served::Served;
use crate::program::{Outcome, tpmssh};

/// The codes of `TPM2_Sign`, and of the commands that the resource manager itself sends around each
/// command.
const SIGN: u32 = 0x15d;
const CONTEXT_LOAD: u32 = 0x161;
const CONTEXT_SAVE: u32 = 0x162;
const FLUSH_CONTEXT: u32 = 0x165;

#[test]
fn a_signature_with_a_warm_key_is_one_command() {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    let abrmd = Abrmd::behind(&tap);
    let home = Home::with_tcti(abrmd.tcti());
    let env = abrmd.env();
    let run = |args: &[&str]| {
        let env = env.iter().map(|(name, value)| (name, value));
        Outcome::of(tpmssh(&home).envs(env).args(args)).ok()
    };
    run(&["token", "init", "--label", "work", "--pin-wall", "none"]);
    run(&["keygen", "--label", "one"]);
    let agent = Served::with(&home, &["--no-ask"], &env);
    let mut client = AgentClient::connect(agent.socket());
    let list = client.ask(&[11]);
    let len = u32::from_be_bytes(list[5..9].try_into().unwrap()) as usize;
    let mut request = message(13, &[&list[9..9 + len], b"data"]);
    request.extend([0; 4]);
    assert_eq!(client.ask(&request)[0], 14, "{}", agent.log());
    for _ in 0..3 {
        tap.reset();
        assert_eq!(client.ask(&request)[0], 14);
        let commands = tap.commands();
        let swaps = [CONTEXT_LOAD, CONTEXT_SAVE, FLUSH_CONTEXT];
        let own = commands.iter().filter(|code| !swaps.contains(code));
        assert_eq!(own.collect::<Vec<_>>(), [&SIGN], "{commands:x?}");
        // The manager loads the context of the key once; a load by the agent would be a second one.
        let loads = commands.iter().filter(|&&code| code == CONTEXT_LOAD);
        assert!(loads.count() <= 1, "{commands:x?}");
    }
}
