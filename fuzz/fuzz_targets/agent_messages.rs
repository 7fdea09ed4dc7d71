//! What clients send to the agent: requests with their constraints, binds, what is to be signed.

#![no_main]

use agent::bind::Binds;
use agent::destination;
use agent::protocol::{Constraints, Purpose, Reader, Request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|message: &[u8]| {
    match Request::decode(message) {
        Ok(Request::Sign { key, data, .. }) => {
            let _ = Purpose::of(data, key);
        }
        Ok(Request::AddCard(_, constraints)) => {
            let binds = Binds::default();
            assert!(destination::visible(&constraints.destinations, &binds));
            // A key with destinations signs for nobody who is not bound.
            let permitted = destination::permits(&constraints.destinations, &binds, message, b"");
            assert_eq!(permitted.is_ok(), constraints.destinations.is_empty());
        }
        Ok(Request::Extension(_, contents)) => {
            // Whatever comes without a good signature must not pass for a local connection.
            let mut binds = Binds::default();
            assert_eq!(binds.add(contents).is_err(), binds.failed());
            assert!(binds.is_bound());
        }
        _ => {}
    }
    let _ = Constraints::decode(&mut Reader::new(message, "message"));
});
