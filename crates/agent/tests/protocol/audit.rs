//! The audit log: what somebody who is refused can do to it.

use agent::audit;
use testing::message;
use tpm_core::KeyType;

use crate::host::Host;
use crate::keys::{add_constrained, only_to};
use crate::served::{FAILURE, Fixture, SUCCESS, eventually, extension, sign};

/// A host that the agent is forwarded to asks on and on, with the longest names that there are.
#[test]
fn refused_requests_are_listed_up_to_a_limit_and_counted_beyond_it() {
    let mut agent = Fixture::new(&[KeyType::EccP256]).serve();
    let host = Host::new(1);
    add_constrained(&mut agent.client(), &only_to(&host));
    let mut remote = agent.client();
    let bind = extension("session-bind@openssh.com", &host.bind(b"s", true));
    assert_eq!(remote.ask(&bind), SUCCESS);
    let mut file = b"SSHSIG".to_vec();
    for field in [&"n".repeat(100_000)[..], "", "sha512", "hash"] {
        file.extend(testing::frame(field.as_bytes()));
    }
    let refused = sign(agent.key(), &file, 0);
    for _ in 0..500 {
        assert_eq!(remote.ask(&refused), FAILURE);
    }
    // What others do is listed as ever.
    let mut owner = agent.client();
    assert_eq!(owner.ask(&message(20, &[b"tpmssh:t", b""])), FAILURE);
    assert_eq!(owner.ask(&message(18, &[agent.key()])), SUCCESS);
    let path = agent.fixture.dir.path().join("log");
    eventually(|| audit::read(&path).unwrap().last().unwrap().event == "remove");
    drop((remote, owner));
    agent.end();
    let records = audit::read(&path).unwrap();
    let count = |event: &str| {
        records
            .iter()
            .filter(|record| record.event == event)
            .count()
    };
    // All of these are requests of this process, so the owner's refused one is among the counted.
    assert_eq!(
        (count("sign"), count("remove"), count("refused")),
        (20, 1, 1)
    );
    let last = records.last().unwrap();
    assert_eq!(
        last.result,
        "481 more refused requests in ten minutes, not listed"
    );
    assert_eq!(last.pid, i32::try_from(std::process::id()).ok());
    assert!(agent.log().len() < 20_000, "{}", agent.log().len());
}
